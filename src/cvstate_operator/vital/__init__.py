"""How well what runs is, read from live objects. Pure: no I/O, no clock; how long a state may last is for the caller to say."""
