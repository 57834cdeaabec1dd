"""`cvstate plan`, and what `cvstate diff` shares with it: the operator's own stages, run by a person and without a hand to write."""
