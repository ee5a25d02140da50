"""One ad platform a file; discovered, never listed."""
