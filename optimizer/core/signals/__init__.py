"""How well one event predicts the goal: tables, strata, adjustment, stability and what to make of them."""
