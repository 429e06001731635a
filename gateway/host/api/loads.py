"""Loads and the places where they stand."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import AnnounceLoad, RemoveLoad, Struct
from gateway.dispatch.state import Load
from gateway.host.api.bodies import LoadHere
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, check_match, done, give, key_of, page, small_page
from gateway.host.api.moment import text_of
from gateway.host.api.offer import PREFIX, Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import of_reply
from gateway.site import LocationSpec

LoadId = Annotated[str, Path(max_length=64, description="It may have '/' in it.")]
LocationId = Annotated[str, Path(max_length=64)]
Filter = Annotated[str, Query(max_length=128)]


class LoadView(Struct, frozen=True):
    """`location` is a place, a run or a device that carries it, "" when nobody knows. `order`: whose turn it is with it
    just now. `unsure`: why it may be elsewhere."""

    load: str
    location: str
    barcodes: tuple[str, ...]
    since: str | None
    order: str
    step: str
    unsure: str


class LoadPage(Struct, frozen=True):
    loads: tuple[LoadView, ...]
    next: str = ""


class LocationView(Struct, frozen=True):
    """`coming`: loads with room reserved here. `free`: how many more would fit."""

    location: str
    kind: str
    capacity: int
    node: str
    loads: tuple[str, ...]
    coming: tuple[str, ...]
    free: int


class LocationPage(Struct, frozen=True):
    locations: tuple[LocationView, ...]
    next: str = ""


class Loads:
    """The routes below /loads and /locations."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def offer(self, offer: Offer) -> None:
        route, one = partial(offer.route, tag="loads"), "/loads/{load:path}"
        route("GET", "/loads", self.browse, "viewer", {200: LoadPage})
        route("GET", one, self.get, "viewer", {200: LoadView})
        route("PUT", one, self.announce, "operator", {200: Done}, what="announce_load", matches=True)
        route("DELETE", one, self.remove, "operator", {200: Done}, what="remove_load", matches=True)
        route = partial(offer.route, tag="locations")
        route("GET", "/locations", self.locations, "viewer", {200: LocationPage})
        route("GET", "/locations/{location}", self.location, "viewer", {200: LocationView})

    async def browse(
        self, call: Call, location: Filter = "", text: Filter = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        """Loads on the site by id. `text` is looked for in ids and barcodes."""
        state, wanted = self._parts.gate.kernel.state, text.casefold()

        def fits(load: Load) -> bool:
            if (location and load.location != location) or state.loads.get(load.load) is not load:
                return False
            return not wanted or any(wanted in code.casefold() for code in (load.load, *load.barcodes))

        standing = state.standing.get(location, {}) if location else None
        among = state.loads.values() if standing is None else [state.loads[name] for name in standing]
        after = key_of(cursor, str)
        found, following = await page(among, lambda load: load.load, after, limit, fits)
        return give(call, LoadPage(tuple(_view(load) for load in found), following))

    async def get(self, call: Call, load: LoadId) -> Response:
        """One load: where it is and who has it."""
        return give(call, _view(self._known(load)))

    async def announce(self, call: Call, load: LoadId, body: LoadHere) -> Response:
        """It stands here: goods-in, or the correction of where it really is."""
        known = self._parts.gate.kernel.state.loads.get(load)
        check_match(call, _view(known) if known is not None else None)
        await call.demand(AnnounceLoad(load, body.location, tuple(body.barcodes)), f"announce_load {load}")
        return done(call, load, location=f"{PREFIX}/loads/{quote(load, safe='')}")

    async def remove(self, call: Call, load: LoadId) -> Response:
        """It has left the site. A step that it was needed for fails; X-Reason says why."""
        known = self._parts.gate.kernel.state.loads.get(load)
        check_match(call, _view(known) if known is not None else None)
        await call.demand(RemoveLoad(load, call.reason()), f"remove_load {load}")
        return done(call, load)

    async def locations(
        self,
        call: Call,
        kind: Annotated[str, Query(max_length=20)] = "",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """Places with their loads and room, by id."""
        every = [spec for spec in self._parts.gate.kernel.site.locations if kind in ("", spec.kind)]
        found, following = small_page(every, lambda spec: spec.id, cursor, limit)
        return give(call, LocationPage(tuple(self._place(spec) for spec in found), following))

    async def location(self, call: Call, location: LocationId) -> Response:
        """One place with its loads and room."""
        spec = self._parts.gate.kernel.floor.locations.get(location)
        if spec is None:
            raise of_reply("unknown", f"there is no location {location!r} on this site")
        return give(call, self._place(spec))

    def _place(self, spec: LocationSpec) -> LocationView:
        kernel = self._parts.gate.kernel
        state, place = kernel.state, kernel.floor.place_of(spec.id)
        standing, coming = tuple(state.standing.get(spec.id, ())), tuple(state.coming.get(place, ()))
        # The entry of a run and the zones behind it are one place: see `dispatch.loads.taken`.
        taken = {*standing, *coming, *state.standing.get(place, ())}
        free = max(0, kernel.floor.room(place) - len(taken))
        return LocationView(spec.id, spec.kind, spec.capacity, spec.node or "", standing, coming, free)

    def _known(self, load: str) -> Load:
        found = self._parts.gate.kernel.state.loads.get(load)
        if found is None:
            raise of_reply("unknown", f"there is no load {load!r} on the site")
        return found


def _view(load: Load) -> LoadView:
    order, _, step = load.task.partition("/")
    return LoadView(load.load, load.location, load.barcodes, text_of(load.since_ns), order, step, load.unsure)
