"""Continuous configuration and vital state of Kubernetes clusters, declared in Git."""

__version__ = "0.1.0"
