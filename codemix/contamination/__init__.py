"""Which items of the evaluation sets stand in the tokens that a run consumed."""
