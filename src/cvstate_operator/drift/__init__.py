"""What differs between desired and live, by field. Pure: no I/O, no clock."""
