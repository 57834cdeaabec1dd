"""Artifact to manifests. Foreign bytes are only touched in child processes."""
