"""What integration tests share: an observer's client, the operator as a process, and waiting without sleeping."""
