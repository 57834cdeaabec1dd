"""Git to Artifact: which commit, which files. Foreign bytes are only touched in child processes."""
