"""The verdict: configuration and vital state joined into one score, the confidence in it, and whether that is acceptable."""
