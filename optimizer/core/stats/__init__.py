"""Statistics: sufficient statistics in, frozen results out, one idea a file."""
