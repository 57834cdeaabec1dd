"""The cluster: client, discovery, watch, apply, status, events. The only package that talks to an API server."""
