"""Workers at their stations, and the pieces of work they are given."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import AcceptWork, CallHelp, ConfirmWork, SignOff, SignOn, Struct
from gateway.dispatch.state import Task
from gateway.host.api.bodies import AtStation, ByPerson, Damaged, HelpWanted, Short, Why
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, done, give, small_page
from gateway.host.api.moment import text_of
from gateway.host.api.offer import Offer
from gateway.host.api.parts import Parts
from gateway.host.api.problem import of_reply
from gateway.site import PersonSpec

PersonId = Annotated[str, Path(max_length=64)]
TaskId = Annotated[str, Path(max_length=140, description="`<order>/<step>`, as listed.")]


class WorkerView(Struct, frozen=True):
    """`station`: where the person is signed on, "" where nowhere. `work`: what they have in hand."""

    person: str
    name: str
    skills: tuple[str, ...]
    station: str
    work: str


class WorkerPage(Struct, frozen=True):
    workers: tuple[WorkerView, ...]
    next: str = ""


class WorkView(Struct, frozen=True):
    """`state`: `waiting` for a person, `offered` to one who has not taken it up, or `accepted`."""

    work: str
    order: str
    step: str
    state: str
    load: str
    barcodes: tuple[str, ...]
    at: str
    station: str
    person: str
    skill: str
    recipe: str
    priority: int
    deadline: str | None
    offered_at: str | None
    accepted_at: str | None


class WorkPage(Struct, frozen=True):
    """By rank: what comes first is first."""

    work: tuple[WorkView, ...]


class People:
    """The routes below /workers and /work."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def offer(self, offer: Offer) -> None:
        route, one = partial(offer.route, tag="workers"), "/workers/{person}"
        route("GET", "/workers", self.browse, "viewer", {200: WorkerPage})
        route("GET", one, self.get, "viewer", {200: WorkerView})
        route("POST", f"{one}/sign-on", self.sign_on, "operator", {200: Done}, what="sign_on")
        route("POST", f"{one}/sign-off", self.sign_off, "operator", {200: Done}, what="sign_off")
        route("POST", f"{one}/help", self.help, "operator", {200: Done}, what="call_help")
        route, one = partial(offer.route, tag="work"), "/work/{task:path}"
        route("GET", "/work", self.work, "viewer", {200: WorkPage})
        route("POST", f"{one}/accept", self.accept, "operator", {200: Done}, what="accept_work")
        route("POST", f"{one}/confirm", self.confirm, "operator", {200: Done}, what="confirm_work")
        route("POST", f"{one}/short", self.short, "operator", {200: Done}, what="short_work")
        route("POST", f"{one}/damaged", self.damaged, "operator", {200: Done}, what="damaged_work")

    async def browse(self, call: Call, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """The people of the site, by id."""
        people = self._parts.gate.kernel.site.people
        found, following = small_page(people, lambda spec: spec.id, cursor, limit)
        return give(call, WorkerPage(tuple(self._worker(spec) for spec in found), following))

    async def get(self, call: Call, person: PersonId) -> Response:
        """One person."""
        return give(call, self._worker(self._known(person)))

    async def sign_on(self, call: Call, person: PersonId, body: AtStation) -> Response:
        """The person begins to work at a station."""
        await call.demand(SignOn(person, body.station), f"sign_on {person} {body.station}")
        return done(call, person)

    async def sign_off(self, call: Call, person: PersonId, body: Why | None = None) -> Response:
        """The person goes; what they had in hand waits for the next one."""
        call.reason(body.reason if body else "")
        await call.demand(SignOff(person), f"sign_off {person}")
        return done(call, person)

    async def help(self, call: Call, person: PersonId, body: HelpWanted | None = None) -> Response:
        """The person needs somebody: an alarm until it is acknowledged."""
        await call.demand(CallHelp(person, body.text if body else ""), f"call_help {person}")
        return done(call, person)

    async def work(
        self,
        call: Call,
        person: Annotated[str, Query(max_length=64, description="For this person; all work without it.")] = "",
        limit: Limit = 20,
    ) -> Response:
        """What a person has in hand, then what waits where they stand for somebody with their skills."""
        if person:
            self._known(person)
        state = self._parts.gate.kernel.state
        # Of what is released only; those are `orders_released_max` orders.
        ranked = sorted((state.orders[name] for name in state.released), key=lambda order: order.rank())
        tasks = [state.tasks[name] for order in ranked if not order.held for name in order.tasks]
        open_ = [t for t in tasks if t.kind == "work" and t.state in ("ready", "active") and self._is_for(t, person)]
        open_.sort(key=lambda task: not task.person)
        return give(call, WorkPage(tuple(self._piece(task) for task in open_[:limit])))

    async def accept(self, call: Call, task: TaskId, body: ByPerson) -> Response:
        """The person has taken up the piece of work that was given to them."""
        await call.demand(AcceptWork(task, body.person), f"accept_work {task}")
        return done(call, task)

    async def confirm(self, call: Call, task: TaskId, body: ByPerson) -> Response:
        """The work is done."""
        await call.demand(ConfirmWork(task, body.person), f"confirm_work {task}")
        return done(call, task)

    async def short(self, call: Call, task: TaskId, body: Short) -> Response:
        """There was less than was asked for: the step fails, and its order with it."""
        found = "" if body.found is None else f", found {body.found}"
        return await self._failed(call, task, body.person, _told("short", found, body.note))

    async def damaged(self, call: Call, task: TaskId, body: Damaged) -> Response:
        """The goods are damaged: the step fails, and its order with it."""
        return await self._failed(call, task, body.person, _told("damaged", "", body.note))

    async def _failed(self, call: Call, task: str, person: str, note: str) -> Response:
        await call.demand(ConfirmWork(task, person, ok=False, note=note), f"{call.what} {task}")
        return done(call, task)

    def _is_for(self, task: Task, person: str) -> bool:
        """Whether somebody may be given this: it is theirs, or nobody's and stands where they are signed on."""
        if not person or task.person == person:
            return True
        kernel = self._parts.gate.kernel
        station = kernel.state.people.get(person)
        load = kernel.state.loads.get(task.load)
        if task.person or station is None or load is None:
            return False
        at = kernel.floor.stations[station].location
        return load.location == at and task.skill in kernel.floor.people[person].skills and task.to in ("", at, station)

    def _piece(self, task: Task) -> WorkView:
        state = self._parts.gate.kernel.state
        order, load = state.orders[task.order], state.loads.get(task.load)
        stage: Literal["waiting", "offered", "accepted"] = (
            "waiting" if not task.person else "accepted" if task.accepted_ns else "offered"
        )
        return WorkView(
            task.task, task.order, task.task[len(task.order) + 1 :], stage, task.load,
            load.barcodes if load is not None else (), load.location if load is not None else "", task.device,
            task.person, task.skill, task.recipe, order.priority, text_of(order.deadline_ns),
            text_of(task.started_ns) if task.person else None, text_of(task.accepted_ns),
        )  # fmt: skip

    def _worker(self, spec: PersonSpec) -> WorkerView:
        state = self._parts.gate.kernel.state
        station = state.people.get(spec.id, "")
        work = state.stations[station].task if station in state.stations else ""
        return WorkerView(spec.id, spec.name, spec.skills, station, work)

    def _known(self, person: str) -> PersonSpec:
        spec = self._parts.gate.kernel.floor.people.get(person)
        if spec is None:
            raise of_reply("unknown", f"there is nobody called {person!r} on this site")
        return spec


def _told(kind: str, found: str, note: str) -> str:
    return f"{kind}{found}" + (f": {note}" if note else "")
