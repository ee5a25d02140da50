"""Pure mathematics and rules: no I/O, no clock, no global randomness."""
