"""What keeps the push webhook small however many ask it: rate limits and the memory of what was already delivered."""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cvstate_operator.operator.token_bucket import TokenBucket

BURST: Final = 200
"""Deliveries at once, over all senders."""
PER_SECOND: Final = 20.0
"""Deliveries per second, over all senders, for as long as you like. Of usual size (10 KB) they take 0.2 % of a core, at worst one core (docs/webhook.md)."""
BURST_PER_ADDRESS: Final = 100
"""Deliveries at once from one address. GitHub sends one per changed ref and webhook, and at most 20 webhooks per event: a push of five refs."""
PER_SECOND_PER_ADDRESS: Final = 10.0
MAX_ADDRESSES: Final = 4096
"""Addresses remembered; who has more is held by the limit over all senders."""
MAX_SEEN: Final = 10_000
"""Deliveries remembered. At one push a second that is close to three hours; 1.6 MB."""
SEEN_SECONDS: Final = 24 * 3600.0

Clock = Callable[[], float]
"""Seconds that only go forward."""


class Throttle:
    """A bucket for every address, and one for all together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = TokenBucket(burst=BURST, per_second=PER_SECOND, now=clock())
        self._addresses: OrderedDict[str, TokenBucket] = OrderedDict()
        """By `_sender`; the one that asked last is at the end."""

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._addresses)

    def take(self, address: str | None) -> int:
        """Whole seconds to wait, at least 1, or 0 if a request of this address may pass.

        Who is over its own limit takes nothing from the others.
        """
        now = self._clock()
        sender = _sender(address or "")
        bucket = self._addresses.pop(sender, None) or TokenBucket(burst=BURST_PER_ADDRESS, per_second=PER_SECOND_PER_ADDRESS, now=now)
        self._addresses[sender] = bucket
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return math.ceil(bucket.take(now) or self._all.take(now))


class Seen:
    """Fingerprints of deliveries, each for SEEN_SECONDS, the newest MAX_SEEN of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        """Fingerprints remembered."""
        return len(self._until)

    def add(self, fingerprint: bytes) -> bool:
        """Remember it; False if it was there already."""
        now = self._clock()
        if self._until.get(fingerprint, 0.0) > now:
            return False
        self._until[fingerprint] = now + SEEN_SECONDS
        self._until.move_to_end(fingerprint)
        if len(self._until) > MAX_SEEN:
            self._until.popitem(last=False)
        return True


def _sender(address: str) -> str:
    """One word per sender: an IPv6 network of 64 bits belongs to one (RFC 6177), and IPv4 inside IPv6 is IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False))
