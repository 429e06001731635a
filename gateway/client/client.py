"""The clients: all groups of routes on one wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, Self

from gateway.client.alarms import Alarms
from gateway.client.devices import Commands, Devices
from gateway.client.endpoint import W
from gateway.client.loads import Loads, Locations
from gateway.client.orders import Orders
from gateway.client.people import Work, Workers
from gateway.client.place import TIMEOUT_S, Place, Retries
from gateway.client.sort_plans import SortPlans
from gateway.client.status import DeadLetters, Status
from gateway.client.wire import AsyncWire, Wire

if TYPE_CHECKING:
    from gateway.client.picture import Picture


class Groups(Generic[W]):
    """What may be asked, by what it is about."""

    def __init__(self, wire: W) -> None:
        self.orders = Orders(wire)
        self.loads = Loads(wire)
        self.locations = Locations(wire)
        self.devices = Devices(wire)
        self.commands = Commands(wire)
        self.alarms = Alarms(wire)
        self.workers = Workers(wire)
        self.work = Work(wire)
        self.sort_plans = SortPlans(wire)
        self.status = Status(wire)
        self.dead_letters = DeadLetters(wire)


class Client(Groups[Wire]):
    """For programs that wait for each answer. May be used from several threads.

    `url` as `https://host:port`; `key` as `swk_…`, "" for looking on at the gateway's own machine. `ca_file`:
    authorities (PEM) that have signed its certificate, "" for the machine's own. `tls="waived"`: send the key over a
    network in clear. `timeout_s`: so long one try may be silent. Raises ValueError for what can't be right.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        ca_file: str = "",
        verify: bool = True,
        tls: Literal["waived"] | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),
    ) -> None:
        self._wire = Wire(Place(url, key, ca_file, verify, tls, timeout_s, retries))
        super().__init__(self._wire)

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncClient(Groups[AsyncWire]):
    """The same for programs on an event loop; its calls are awaited, its lists read with `async for`."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        ca_file: str = "",
        verify: bool = True,
        tls: Literal["waived"] | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),
    ) -> None:
        self._place = Place(url, key, ca_file, verify, tls, timeout_s, retries)
        self._wire = AsyncWire(self._place)
        super().__init__(self._wire)

    def live(self, topics: Sequence[str] | None = None, *, away_s_max: float | None = 60.0) -> AsyncIterator[Picture]:
        """Follow the live feed: the picture, each time that something of it is new. See `live.follow`.

        Leave it within `contextlib.aclosing`, so that the connection is closed at once.
        """
        # Only who follows pays for the library.
        from gateway.client.live import follow

        return follow(self._place, topics, away_s_max)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
