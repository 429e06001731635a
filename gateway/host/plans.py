"""Sort plans beside the YAML's: uploaded, checked against the site, put in force, with who did so, when and why.

A plan is never changed: each upload is a version of its own. Which one is in force is the kernel's to know; here it is
found again by its text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

import apsw
import msgspec

from gateway.contract import Ns, Reply, Struct, UseSortPlan
from gateway.dispatch import sort_plans
from gateway.host.gate import Gate
from gateway.host.store import Store

VERSIONS_MAX = 10_000
READ_MAX = 500


class PlanVersion(Struct, frozen=True):
    """One version of a plan. `plan` is as in the YAML, but in JSON."""

    id: str
    version: int
    plan: str
    who: str
    at_ns: Ns
    why: str


class PlanChange(Struct, frozen=True):
    """A plan was put in force. `id` "" and `version` 0: back to the YAML's."""

    number: int
    id: str
    version: int
    who: str
    at_ns: Ns
    why: str


class PlansFull(Exception):
    """No more versions can be kept."""


class Plans:
    """Within a Store that was opened with SCHEMA."""

    SCHEMA: ClassVar[str] = """
    create table if not exists sort_plan (
        id text not null, version integer not null, plan text not null, who text not null, at_ns integer not null,
        why text not null, primary key (id, version)
    ) strict;
    create trigger if not exists sort_plan_is_never_changed before update on sort_plan
        begin select raise(abort, 'a version of a sort plan is never changed'); end;
    create table if not exists sort_plan_change (
        number integer primary key, id text not null, version integer not null, who text not null,
        at_ns integer not null, why text not null, request_id text not null, unique (who, request_id)
    ) strict;
    """

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def problem(self, plan: str) -> str:
        """Why this plan can't be put in force on the site as it is now, "" when it can."""
        fitting = sort_plans.fitting(self._gate.kernel.site, plan)
        return fitting if isinstance(fitting, str) else ""

    async def upload(self, id_: str, plan: str, who: str, why: str) -> PlanVersion:
        """Keep a plan that fits as the next version of its id. Raises ValueError with what is wrong where it does not,
        PlansFull, StoreFull."""
        problem = self.problem(plan)
        if problem:
            raise ValueError(problem)
        at_ns = self._gate.now_ns()

        def work(db: apsw.Connection) -> PlanVersion:
            ((count,),) = db.execute("select count(*) from sort_plan")
            if count >= VERSIONS_MAX:
                raise PlansFull(f"{VERSIONS_MAX} versions of sort plans are kept, which is the limit")
            ((last,),) = db.execute("select coalesce(max(version), 0) from sort_plan where id = ?", (id_,))
            row = (id_, last + 1, plan, who, at_ns, why)
            db.execute("insert into sort_plan values (?, ?, ?, ?, ?, ?)", row)
            return PlanVersion(*row)

        return await self._store.write(work)

    async def get(self, id_: str, version: int) -> PlanVersion | None:
        query = "select id, version, plan, who, at_ns, why from sort_plan where id = ? and version = ?"
        return await self._store.read(lambda db: _one(db, query, (id_, version)))

    async def browse(self, after: tuple[str, int], limit: int) -> list[PlanVersion]:
        """By id and version, those behind `after`."""
        query = (
            "select id, version, plan, who, at_ns, why from sort_plan where (id, version) > (?, ?) "
            "order by id, version limit ?"
        )
        values = (*after, min(limit, READ_MAX + 1))
        return await self._store.read(lambda db: [PlanVersion(*row) for row in db.execute(query, values)])

    async def activate(
        self,
        chosen: PlanVersion | None,
        who: str,
        request_id: str,
        why: str,
        ask: Callable[[UseSortPlan], Awaitable[Reply]],
    ) -> Reply:
        """Put a version in force, or the YAML's plan (None). The kernel looks at it again: the site may be another."""
        reply = await ask(UseSortPlan(chosen.plan if chosen is not None else ""))
        if reply.accepted:
            id_, version = (chosen.id, chosen.version) if chosen is not None else ("", 0)
            row = (id_, version, who, self._gate.now_ns(), why, request_id)
            # Asked again with the same id it is the same change; so one that a power cut kept out is entered then.
            query = (
                "insert or ignore into sort_plan_change (id, version, who, at_ns, why, request_id) "
                "values (?, ?, ?, ?, ?, ?)"
            )
            await self._store.write(lambda db: db.execute(query, row))
        return reply

    async def active(self) -> PlanVersion | None:
        """The version in force, None when it is the YAML's plan."""
        text = self._gate.kernel.state.sort_plan
        if not text:
            return None
        query = "select id, version, plan, who, at_ns, why from sort_plan where plan = ? order by at_ns desc limit 1"
        found = await self._store.read(lambda db: _one(db, query, (text,)))
        # The store may have been lost or replaced: what is in force is told all the same.
        return found or PlanVersion(_id_of(text), 0, text, "", 0, "")

    async def history(self, before: int | None, limit: int) -> list[PlanChange]:
        """What was put in force, newest first; those older than number `before`."""
        query = (
            "select number, id, version, who, at_ns, why from sort_plan_change where number < ? "
            "order by number desc limit ?"
        )
        values = (2**62 if before is None else before, min(limit, READ_MAX + 1))
        return await self._store.read(lambda db: [PlanChange(*row) for row in db.execute(query, values)])


def _one(db: apsw.Connection, query: str, values: tuple[str | int, ...]) -> PlanVersion | None:
    for row in db.execute(query, values):
        return PlanVersion(*row)
    return None


def _id_of(plan: str) -> str:
    try:
        return str(msgspec.json.decode(plan, type=dict[str, object]).get("id", ""))
    except (msgspec.DecodeError, ValueError):
        return ""
