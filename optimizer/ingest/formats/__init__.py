"""One wire format a file; each ends in the same pipeline."""
