"""HTTP: one blueprint a file, each found by its name `blueprint`."""
