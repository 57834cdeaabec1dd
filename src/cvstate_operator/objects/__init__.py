"""Kubernetes objects as values: identity, manifests, ownership, order. Pure: no I/O, no clock."""
