"""The pipeline and its ports. No I/O of its own."""
