"""What to do, in which order, or why not. Pure: no I/O, no clock; time and randomness are arguments."""
