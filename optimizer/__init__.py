"""optimizer: micro conversions in, four decisions out."""
