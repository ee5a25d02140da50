"""One platform a file, each with a `face`; discovered, never listed."""
