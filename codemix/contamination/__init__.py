"""Finds the items of evaluation sets that occur in the tokens that a run consumed."""
