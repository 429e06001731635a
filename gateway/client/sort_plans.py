"""Sort plans: uploaded, validated, put in force, and what was in force before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.client.ask import PREFIX, Ask, Body, Done, Record, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends
from gateway.client.orders import Why


class Destination(Body, frozen=True):
    """Lanes of one destination, best first."""

    sorter: str
    lanes: tuple[int, ...]


class _Plan(Body, frozen=True):
    id: str
    destinations: dict[str, Destination]


class Lanes(Record, frozen=True):
    sorter: str
    lanes: tuple[int, ...]


class PlanLine(Record, frozen=True):
    """A version in a list. `destinations`: how many."""

    id: str
    version: int
    destinations: int
    who: str
    at: datetime | None
    why: str


class PlanPage(Record, frozen=True):
    items: tuple[PlanLine, ...] = msgspec.field(name="plans")
    next: str = ""


class Plan(Record, frozen=True):
    """A plan. `version` 0: it stands in the YAML, or the store does not know it."""

    id: str
    version: int
    source: str
    destinations: dict[str, Lanes]
    who: str
    at: datetime | None
    why: str


class Uploaded(Record, frozen=True):
    request_id: str
    id: str
    version: int
    repeated: bool = False


class Verdict(Record, frozen=True):
    """`problem`: why it can't be put in force, "" when it can."""

    valid: bool
    problem: str


class PlanChange(Record, frozen=True):
    """A plan was put in force; `id` "": the YAML's."""

    number: int
    id: str
    version: int
    who: str
    at: datetime | None
    why: str


class PlanChanges(Record, frozen=True):
    items: tuple[PlanChange, ...] = msgspec.field(name="changes")
    next: str = ""


class SortPlans(Group[W]):
    """The routes below /sort-plans."""

    @lists(PlanLine)
    def browse(self, *, limit: int = 100, cursor: str = "") -> Ask[PlanPage]:
        """All versions of all plans."""
        return reads(path_of("sort-plans"), PlanPage, limit=limit, cursor=cursor)

    @sends
    def get(self, id: str, version: int) -> Ask[Plan]:
        """One version."""
        return reads(path_of("sort-plans", id, version), Plan)

    @sends
    def active(self) -> Ask[Plan]:
        """The plan in force."""
        return reads(f"{PREFIX}/sort-plans:active", Plan)

    @lists(PlanChange)
    def history(self, *, limit: int = 100, cursor: str = "") -> Ask[PlanChanges]:
        """What was put in force, newest first."""
        return reads(f"{PREFIX}/sort-plans:history", PlanChanges, limit=limit, cursor=cursor)

    @sends
    def upload(
        self, id: str, destinations: Mapping[str, Destination], *, reason: str = "", key: str | None = None
    ) -> Ask[Uploaded]:
        """Keep a plan that fits the site as a new version. It is not put in force by that."""
        body = _Plan(id, dict(destinations))
        return writes("POST", path_of("sort-plans"), Uploaded, body, key=key, reason=reason)

    @sends
    def validate(self, id: str, destinations: Mapping[str, Destination]) -> Ask[Verdict]:
        """Whether a plan could be put in force; nothing is kept."""
        return writes("POST", f"{PREFIX}/sort-plans:validate", Verdict, _Plan(id, dict(destinations)), key=None)

    @sends
    def activate(self, id: str, version: int, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """Put a version in force, whole or not at all. What is on the sorter keeps its lane."""
        return writes("POST", path_of("sort-plans", id, version, "activate"), Done, Why(reason), key=key)

    @sends
    def use_yaml(self, reason: str = "", *, key: str | None = None) -> Ask[Done]:
        """Go back to the plan that the YAML has."""
        return writes("POST", f"{PREFIX}/sort-plans:yaml", Done, Why(reason), key=key)
