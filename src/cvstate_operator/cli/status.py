"""`cvstate status`."""


def status() -> None:
    """placeholder"""
