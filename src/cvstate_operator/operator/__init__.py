"""The shell: kopf handlers, actors, HTTP, and the wiring of everything."""
