"""Preflight: what `cvstate check` does. `task` runs in a child process and touches the files; `report` runs in the parent and touches only findings."""
