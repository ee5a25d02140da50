"""What other tools' exports look like: one tool a file, each turns a row into events or daily counts."""
