"""Health: what each live object says of itself, since when it has not been ready, and which of its children is why."""
