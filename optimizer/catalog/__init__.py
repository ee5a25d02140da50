"""Projects, their keys, and the catalog of event definitions."""
