"""Which events predict the goal."""
