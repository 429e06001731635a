"""The channels that a site's YAML names, ready to run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Effect, Ns
from gateway.host.channels.acknowledge import Acknowledging
from gateway.host.channels.asking import Asking
from gateway.host.channels.book import Book
from gateway.host.channels.events import Events
from gateway.host.channels.hook import Hook
from gateway.host.channels.intake import Intake
from gateway.host.channels.mqtt import MqttChannel
from gateway.host.channels.records import RecordsChannel
from gateway.host.channels.table import TableChannel
from gateway.host.channels.tray import Tray
from gateway.host.folder import FolderChannel
from gateway.host.formats import Limits
from gateway.host.gate import Ask
from gateway.host.store import Store
from gateway.site import ChannelSpec, Site
from gateway.site.channels import OTHER_PATTERN, PATTERNS, SETTLE_MS, FolderSpec

CSV_BYTES_MAX = 2**30
TABLE_IN_FLIGHT_MAX = 1_000


class Channel(Protocol):
    """A way in that goes and looks for itself."""

    client: str

    async def run(self) -> None:
        """For ever, until cancelled."""


class Tells(Protocol):
    """A channel that tells its host what becomes of its orders."""

    def heard(self, seq: int, number: int, at_ns: Ns, effect: Effect) -> None:
        """A `Listener`, also called at a start for the replayed tail."""

    async def flush(self) -> None:
        """All that was heard is durable; called before every snapshot of the kernel."""


def channels_for(
    site: Site, data: Path, ask: Ask, log: Log, store: Store, now_ns: Callable[[], Ns] = time.time_ns
) -> tuple[list[Channel], dict[str, Hook]]:
    """What runs by itself, and the hooks by their channel's id. `store` has `book.SCHEMA`.

    Raises OSError where a folder can't be made, ValueError for a time zone that this machine does not know.
    """
    channels: list[Channel] = []
    hooks: dict[str, Hook] = {}
    for spec in site.channels:
        if spec.kind == "hook":
            hooks[spec.id] = _hook(spec, site, ask, log, Book(spec.id, store, now_ns))
        else:
            channels.append(_channel(spec, site, data, ask, log, store, now_ns))
    return channels, hooks


def those_who_tell(channels: list[Channel]) -> list[Tells]:
    """Those of `channels` that want to hear of effects."""
    return [channel for channel in channels if isinstance(channel, TableChannel)]


def _channel(
    spec: ChannelSpec, site: Site, data: Path, ask: Ask, log: Log, store: Store, now_ns: Callable[[], Ns]
) -> Channel:
    zone = site.site.timezone
    if spec.mqtt is not None:
        intake = Intake(spec, zone, Limits(bytes_max=spec.mqtt.bytes_max))
        identifier = f"stellwerk-{site.site.id}-{spec.id}"
        return MqttChannel(spec.mqtt, identifier, intake, Asking(spec.id, ask, spec.mqtt.in_flight_max * 10, log), log)
    if spec.table is not None:
        intake = Intake(spec, zone, Limits(bytes_max=spec.table.bytes_max))
        asking = Asking(spec.id, ask, TABLE_IN_FLIGHT_MAX, log)
        events = Events(spec.id, store, spec.table.events_waiting_max, log) if spec.table.events else None
        return TableChannel(spec.table, intake, asking, events, site.site.id, log)
    folder = spec.folder or FolderSpec()
    path = Path(folder.path) if folder.path else data / "inbox" / spec.id
    if spec.format == "request":
        return FolderChannel(spec.id, path, ask, log, folder)
    pattern = folder.pattern or PATTERNS.get(spec.format, OTHER_PATTERN)
    settle_ms = SETTLE_MS if folder.settle_ms is None else folder.settle_ms
    limits = Limits()
    bytes_max = folder.bytes_max or (CSV_BYTES_MAX if spec.format == "csv" else limits.bytes_max)
    if spec.format != "csv":
        limits = Limits(bytes_max=bytes_max)
    return RecordsChannel(
        Intake(spec, zone, limits),
        Tray(path, pattern, settle_ms, spec.id, log),
        Asking(spec.id, ask, folder.in_flight_max, log),
        Book(spec.id, store, now_ns),
        folder,
        bytes_max,
        log,
        Acknowledging(spec.format, limits) if folder.acknowledge else None,
    )


def _hook(spec: ChannelSpec, site: Site, ask: Ask, log: Log, book: Book) -> Hook:
    assert spec.hook is not None, "the site's check asks for the block"
    intake = Intake(spec, site.site.timezone, Limits(bytes_max=spec.hook.bytes_max))
    return Hook(spec.id, spec.format, spec.hook, intake, ask, book, log)
