"""Service level objectives: what is asked for, what the answers say of the error budget and of how fast it burns."""
