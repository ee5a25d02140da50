"""What people did, and where they were lost."""
