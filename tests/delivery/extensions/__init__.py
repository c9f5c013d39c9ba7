"""Extensions and middlewares that apps have around their streams, each the real one."""
