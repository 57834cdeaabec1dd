"""Isolation: foreign bytes are touched only in short-lived child processes with limits, and with a kill from outside."""
