"""The doctor, told of set-ups with one mistake each, and of good ones."""
