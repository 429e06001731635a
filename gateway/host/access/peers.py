"""Where a request comes from."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gateway.site.http import is_loopback

HOPS_MAX = 20
IPV6_BITS = 64
"""One subscriber has a whole /64: its addresses count as one."""


class Proxies:
    """The reverse proxies that are believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted`: addresses or networks."""
        self._networks = [ip_network(text) for text in trusted]

    def trusts(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self._networks)

    def origin(self, peer: str, forwarded_for: Sequence[str], *, any_forwarded: bool) -> tuple[str, bool]:
        """Who has sent a request that came from `peer`: address, and whether something is unexplained about it.

        `forwarded_for`: all X-Forwarded-For headers in their order; `any_forwarded`: the request has one of Forwarded
        and X-Forwarded-*. Read from the right, as each proxy appends whom it was asked by: the first one that is no
        proxy of ours is the sender, and whatever stands before it is his own invention.
        """
        if not self.trusts(peer):
            return peer, any_forwarded
        hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
        for hop in reversed(hops[-HOPS_MAX:]):
            if _address(hop) is None:
                return peer, True
            if not self.trusts(hop):
                return hop, False
        return peer, True


def is_local(peer: str) -> bool:
    """Whether `peer` is an address of this machine's loopback; a name, even localhost, is none."""
    return _address(peer) is not None and is_loopback(peer)


def neighbourhood(peer: str) -> str:
    """What limits per peer count by: the address, of IPv6 its /64."""
    address = _address(peer)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_BITS), strict=False))
    return peer if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
