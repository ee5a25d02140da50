"""One event engine a file; each passes the same test suite."""
