"""Faults between the operator and the API server, put in on purpose; judged by the API server's audit log and by what is in the cluster."""
