"""Whatever an app does around a stream works, or says so: hooks, response classes, callbacks."""
