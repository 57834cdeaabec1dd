"""`cvstate demo`."""


def demo() -> None:
    """placeholder"""
