"""Loads and the places where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.client.ask import Ask, Body, Done, Record, Version, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends


class _Here(Body, frozen=True):
    location: str
    barcodes: tuple[str, ...] = ()


class Load(Record, frozen=True):
    """`location` is a place, a run or a device that carries it, "" when nobody knows. `order`: whose turn it is with it
    just now. `unsure`: why it may be elsewhere. `etag` is there where it was asked for by itself."""

    load: str
    location: str
    barcodes: tuple[str, ...]
    since: datetime | None
    order: str
    step: str
    unsure: str
    etag: str = ""


class LoadPage(Record, frozen=True):
    items: tuple[Load, ...] = msgspec.field(name="loads")
    next: str = ""


class Location(Record, frozen=True):
    """`coming`: loads with room reserved here. `free`: how many more would fit."""

    location: str
    kind: str
    capacity: int
    node: str
    loads: tuple[str, ...]
    coming: tuple[str, ...]
    free: int


class LocationPage(Record, frozen=True):
    items: tuple[Location, ...] = msgspec.field(name="locations")
    next: str = ""


class Loads(Group[W]):
    """The routes below /loads."""

    @lists(Load)
    def browse(self, *, location: str = "", text: str = "", limit: int = 100, cursor: str = "") -> Ask[LoadPage]:
        """Loads on the site by id. `text` is looked for in ids and barcodes."""
        return reads(path_of("loads"), LoadPage, location=location, text=text, limit=limit, cursor=cursor)

    @sends
    def get(self, load: str) -> Ask[Load]:
        """One load: where it is and who has it."""
        return reads(path_of("loads", load), Load)

    @sends
    def announce(
        self,
        load: str,
        location: str,
        barcodes: Sequence[str] = (),
        *,
        version: Version | None = None,
        reason: str = "",
        key: str | None = None,
    ) -> Ask[Done]:
        """It stands here: goods-in, or the correction of where it really is."""
        body = _Here(location, tuple(barcodes))
        return writes("PUT", path_of("loads", load), Done, body, key=key, version=version, reason=reason)

    @sends
    def remove(
        self, load: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """It has left the site. A step that it was needed for fails. `reason` in ASCII."""
        return writes("DELETE", path_of("loads", load), Done, key=key, version=version, reason=reason)


class Locations(Group[W]):
    """The routes below /locations."""

    @lists(Location)
    def browse(self, *, kind: str = "", limit: int = 100, cursor: str = "") -> Ask[LocationPage]:
        """Places with their loads and room, by id."""
        return reads(path_of("locations"), LocationPage, kind=kind, limit=limit, cursor=cursor)

    @sends
    def get(self, location: str) -> Ask[Location]:
        """One place with its loads and room."""
        return reads(path_of("locations", location), Location)
