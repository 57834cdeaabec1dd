"""Cluster vitals: what is counted in Pods, nodes, claims and quotas, as the value of an indicator."""
