"""What the API is put together from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.websockets import WebSocket
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import LinkFigures
from gateway.host.access import Access
from gateway.host.gate import Gate
from gateway.host.plans import Plans
from gateway.host.store import Store
from gateway.site import HttpSpec


class LiveFeed(Protocol):
    """See `gateway.host.live`."""

    async def serve(self, websocket: WebSocket, after: int | None) -> None:
        """Feed one client, already accepted and let in; returns when it is gone."""


class Outbound(Protocol):
    """See `gateway.host.outward`."""

    async def dead_letters(self, before: int | None, limit: int) -> Sequence[Any]:
        """What could not be delivered, newest first."""

    async def replay(self, numbers: Sequence[int]) -> int:
        """Try these again; how many of them there were."""


class HookAnswer(Protocol):
    """What a channel says to a shop."""

    @property
    def status(self) -> int:
        """HTTP's."""

    @property
    def reason(self) -> str:
        """Why not, "" when it was taken."""


class Hook(Protocol):
    """A channel that a shop calls: it verifies the shop's signature itself."""

    async def accept(self, headers: Mapping[str, str], body: bytes) -> HookAnswer:
        """Take one call. Header names are in lower case."""


@dataclass(frozen=True)
class Parts:
    """Each is the real thing and outlives the API. `live` and `outward` may be absent: their routes then say so."""

    gate: Gate
    access: Access
    store: Store
    plans: Plans
    spec: HttpSpec
    log: Log
    site_name: str
    version: str
    live: LiveFeed | None = None
    outward: Outbound | None = None
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    figures: Callable[[], Sequence[LinkFigures]] = tuple
    """What the drivers' links have done, for the age of devices' data."""
