"""Sort plans: uploaded, validated, put in force, and what was in force before."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Path
from starlette.responses import Response

from gateway.contract import Struct
from gateway.host.api.bodies import PlanBody, Why
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, cursor_of, done, give, key_of, made
from gateway.host.api.moment import text_of
from gateway.host.api.offer import PREFIX, Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import Refusal, of_reply
from gateway.host.api.remembered import Remembered
from gateway.host.plans import PlansFull, PlanVersion

PlanId = Annotated[str, Path(max_length=48)]
Version = Annotated[int, Path(ge=1, lt=2**53)]
_SEPARATOR = "\n"


class PlanLine(Struct, frozen=True):
    """A version in a list."""

    id: str
    version: int
    destinations: int
    who: str
    at: str | None
    why: str


class PlanPage(Struct, frozen=True):
    plans: tuple[PlanLine, ...]
    next: str = ""


class PlanView(Struct, frozen=True):
    """A plan. `version` 0: it stands in the YAML, or the store does not know it."""

    id: str
    version: int
    source: str
    destinations: dict[str, Any]
    who: str
    at: str | None
    why: str


class Uploaded(Struct, frozen=True):
    request_id: str
    id: str
    version: int


class Verdict(Struct, frozen=True):
    """`problem`: why it can't be put in force, "" when it can."""

    valid: bool
    problem: str


class ChangeView(Struct, frozen=True):
    """A plan was put in force; `id` "": the YAML's."""

    number: int
    id: str
    version: int
    who: str
    at: str | None
    why: str


class History(Struct, frozen=True):
    changes: tuple[ChangeView, ...]
    next: str = ""


class SortPlans:
    """The routes below /sort-plans."""

    def __init__(self, parts: Parts, remembered: Remembered) -> None:
        self._parts = parts
        self._remembered = remembered

    def offer(self, offer: Offer) -> None:
        route, top = partial(offer.route, tag="sort-plans"), "/sort-plans"
        route("GET", top, self.browse, "viewer", {200: PlanPage})
        route("POST", top, self.upload, "engineer", {201: Uploaded}, what="upload_sort_plan")
        route(
            "POST",
            f"{top}:validate",
            self.validate,
            "engineer",
            {200: Verdict},
            what="validate_sort_plan",
            audited=False,
        )
        route("POST", f"{top}:yaml", self.back, "engineer", {200: Done}, what="use_sort_plan")
        route("GET", f"{top}:active", self.active, "viewer", {200: PlanView})
        route("GET", f"{top}:history", self.history, "viewer", {200: History})
        route("GET", f"{top}/{{id}}/{{version}}", self.get, "viewer", {200: PlanView})
        activate = f"{top}/{{id}}/{{version}}/activate"
        route("POST", activate, self.activate, "engineer", {200: Done}, what="use_sort_plan")

    async def browse(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """All versions by id."""
        id_, _, version = (key_of(cursor, str) or "").partition(_SEPARATOR)
        if version and not (version.isascii() and version.isdigit() and len(version) < 19):
            raise Refusal("invalid", "the cursor is none of this list: leave it out to begin with the first page")
        found = await self._parts.plans.browse((id_, int(version or 0)), limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        following = cursor_of(f"{last.id}{_SEPARATOR}{last.version}") if last is not None else ""
        lines = (
            PlanLine(p.id, p.version, len(_destinations(p.plan)), p.who, text_of(p.at_ns), p.why) for p in found[:limit]
        )
        return give(call, PlanPage(tuple(lines), following))

    async def get(self, call: Call, id: PlanId, version: Version) -> Response:
        """One version."""
        return give(call, _view(await self._known(id, version)))

    async def upload(self, call: Call, body: PlanBody) -> Response:
        """Keep a plan that fits the site as a new version. It is not put in force by that."""

        async def work() -> Response:
            try:
                kept = await self._parts.plans.upload(body.id, body.model_dump_json(), call.principal.name, call.why)
            except ValueError as error:
                raise Refusal("invalid", str(error)) from error
            except PlansFull as error:
                raise Refusal("limit", str(error), headers={"Retry-After": "3600"}) from error
            call.did(f"upload_sort_plan {kept.id}/{kept.version}", 201)
            location = f"{PREFIX}/sort-plans/{kept.id}/{kept.version}"
            return made(Uploaded(call.key, kept.id, kept.version), 201, {"Location": location})

        return await self._remembered.once(call, work)

    async def validate(self, body: PlanBody) -> Response:
        """Whether a plan could be put in force; nothing is kept."""
        problem = self._parts.plans.problem(body.model_dump_json())
        return made(Verdict(not problem, problem), 200)

    async def activate(self, call: Call, id: PlanId, version: Version, body: Why | None = None) -> Response:
        """Put a version in force, whole or not at all. What is on the sorter keeps its lane."""
        return await self._use(call, await self._known(id, version), body)

    async def back(self, call: Call, body: Why | None = None) -> Response:
        """Go back to the plan that the YAML has."""
        return await self._use(call, None, body)

    async def active(self, call: Call) -> Response:
        """The plan in force."""
        found = await self._parts.plans.active()
        if found is not None:
            return give(call, _view(found))
        own = self._parts.gate.kernel.site.sort_plan
        destinations = {} if own is None else own.model_dump(mode="json")["destinations"]
        return give(call, PlanView("" if own is None else own.id, 0, "yaml", destinations, "", None, ""))

    async def history(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """What was put in force, newest first."""
        found = await self._parts.plans.history(key_of(cursor, int), limit + 1)
        following = cursor_of(found[limit - 1].number) if len(found) > limit else ""
        changes = (ChangeView(c.number, c.id, c.version, c.who, text_of(c.at_ns), c.why) for c in found[:limit])
        return give(call, History(tuple(changes), following))

    async def _use(self, call: Call, chosen: PlanVersion | None, body: Why | None) -> Response:
        why = call.reason(body.reason if body else "")
        name = f"{chosen.id}/{chosen.version}" if chosen is not None else "yaml"
        reply = await self._parts.plans.activate(
            chosen, call.principal.name, call.key, why, lambda request: call.ask(request, f"use_sort_plan {name}")
        )
        if not reply.accepted:
            raise of_reply(reply.code, reply.reason)
        return done(call, name)

    async def _known(self, id_: str, version: int) -> PlanVersion:
        found = await self._parts.plans.get(id_, version)
        if found is None:
            raise of_reply("unknown", f"there is no version {version} of a sort plan {id_!r}")
        return found


def _destinations(plan: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(plan)["destinations"]
    return found


def _view(kept: PlanVersion) -> PlanView:
    source = "uploaded" if kept.version else "unknown"
    return PlanView(kept.id, kept.version, source, _destinations(kept.plan), kept.who, text_of(kept.at_ns), kept.why)
