"""A/B tests: plans, analyses from counts, experiments and their results."""
