"""Where a gateway is and how it is reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 35.0
"""The gateway itself gives up after 30 s, and says so."""
CONNECT_S_MAX = 5.0
CONNECTIONS_MAX = 32


@dataclass(frozen=True)
class Retries:
    """A call is tried `tries_max` times within `total_s_max`: after that a wait that would be longer is not begun.

    Waits double from `first_s` to `wait_s_max`, each drawn from its upper half; a Retry-After of the gateway is heeded.
    """

    tries_max: int = 5
    first_s: float = 0.2
    wait_s_max: float = 5.0
    total_s_max: float = 60.0

    def __post_init__(self) -> None:
        if self.tries_max < 1 or self.first_s < 0 or self.wait_s_max < 0 or self.total_s_max < 0:
            raise ValueError(f"{self}: at least one try, and no wait below 0 s")


@dataclass(frozen=True)
class Place:
    """Raises ValueError where a key would go over a network in clear, and where the address is none."""

    url: str
    key: str = field(default="", repr=False)
    ca_file: str = ""
    verify: bool = True
    tls: Literal["waived"] | None = None
    timeout_s: float = TIMEOUT_S
    retries: Retries = Retries()

    def __post_init__(self) -> None:
        try:
            httpx.URL(self.url)
            parts = urlsplit(self.url)
            port_is_sound = parts.port is None or parts.port > 0
        except (httpx.InvalidURL, ValueError) as error:
            raise ValueError(f"{self.url!r} is no address ({error}): write https://host:port") from None
        if parts.username or parts.password:
            raise ValueError(
                "the address must hold no user and no password: a key is how the gateway knows its callers"
            )
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or not port_is_sound
            or parts.query
            or parts.fragment
        ):
            raise ValueError(f"{self.url!r} is no address of a gateway: write https://host:port")
        if self.key and not all("!" <= c <= "~" for c in self.key):
            raise ValueError(
                "the key has blanks or other characters that no key has: is it the whole file, and only it?"
            )
        if parts.scheme == "http" and self.key and self.tls is None and not is_this_machine(parts.hostname):
            raise ValueError(
                f"the key would go to {parts.hostname} over the network without TLS: use https://, or say tls='waived'"
            )

    def context(self) -> ssl.SSLContext | None:
        """None for http. Authorities are those of `ca_file`, else the machine's. Raises ValueError for a bad file."""
        if not self.url.startswith("https"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"ca_file {self.ca_file} can't be used ({error}): a PEM file is wanted") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def headers(self) -> dict[str, str]:
        # No compression: an answer is as large on the way as it is here, so its limit holds.
        common = {"Accept-Encoding": "identity", "User-Agent": "stellwerk-client"}
        return common | ({"Authorization": f"Bearer {self.key}"} if self.key else {})

    def options(self) -> dict[str, Any]:
        """For httpx's clients: nothing from the environment, no redirects."""
        context = self.context()
        return {
            "base_url": self.url.rstrip("/"),
            "headers": self.headers,
            "verify": True if context is None else context,
            "timeout": httpx.Timeout(self.timeout_s, connect=min(CONNECT_S_MAX, self.timeout_s)),
            "limits": httpx.Limits(max_connections=CONNECTIONS_MAX),
            "trust_env": False,
            "follow_redirects": False,
        }


def is_this_machine(host: str) -> bool:
    """Whether `host` can only be this machine, whatever a name server says."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
