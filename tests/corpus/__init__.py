"""The corpus of bad input: what people and attackers put into Git and into specs, and the reason that each must end in."""
