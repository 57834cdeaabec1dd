"""`cvstate backup` and `cvstate restore`: what the operator knows beside Git, out of one cluster and into another. Never what is in a Secret."""
