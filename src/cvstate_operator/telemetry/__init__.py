"""What we tell about ourselves, metrics and logs, and what Prometheus tells about others."""
