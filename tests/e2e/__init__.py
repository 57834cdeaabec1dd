"""The operator as a process of its own, on a whole control plane, seen from outside."""
