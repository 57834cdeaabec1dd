"""A token bucket: how often something may happen, with room for a burst."""


class TokenBucket:
    """Lets `burst` through at once and `per_second` for ever."""

    __slots__ = ("_burst", "_filled_at", "_per_second", "_tokens")

    def __init__(self, *, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._filled_at = now

    def take(self, now: float) -> float:
        """Seconds to wait; 0 if this one may pass."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second
