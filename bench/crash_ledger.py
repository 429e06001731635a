"""What the gateway has promised, kept outside of it, and what came of each promise. Pure.

Only an answer that a host has read is a promise. In the end every accepted order must be known and in one terminal
state, every repeated answer equal to the first, no command executed twice, and no load lost or elsewhere than booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TERMINAL = ("finished", "failed", "cancelled")
UNDECIDED = ("not accepted", "the gateway has")
"""How answers begin that decide nothing: ask again with the same request id."""
REUSED = "used before with other content"
Key = tuple[str, str]
"""Client, request id."""


def _sorted_to_customers(device: Mapping[str, Any]) -> int:
    """Lanes 8 and 9 of the demo's sorter lead to the robot cell and to the clarification."""
    return sum(count for lane, count in device.get("sorted", {}).items() if lane not in ("8", "9"))


WORK: dict[str, tuple[str, Callable[[Mapping[str, Any]], int]]] = {
    "sorted": ("sort", _sorted_to_customers),
    "decanted": ("decant", lambda device: int(device.get("processed", 0))),
}
"""Work that must be done once per order, with the step's kind or skill, and how a device counts it."""


@dataclass
class Asked:
    """One request, however often it was sent. `accepted` None: not answered yet."""

    request: dict[str, Any]
    sent: int = 1
    accepted: bool | None = None
    reason: str = ""


@dataclass
class Truth:
    """What gateway and plant say when all is over.

    `orders`: state by order in the restored journal. `ends`: terminal states by order in the log, in order.
    `booked`: load → place in the journal. `standing` and `shipped`: load → place in the plant. `devices`: the plant's
    counters.
    """

    orders: Mapping[str, str]
    ends: Mapping[str, list[str]]
    booked: Mapping[str, str]
    standing: Mapping[str, str]
    shipped: Mapping[str, str]
    devices: Mapping[str, Mapping[str, Any]]


@dataclass
class Balance:
    """The figures, and everything that is wrong by name."""

    acknowledged: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uninvited: list[str] = field(default_factory=list)
    """Orders that were refused, or never sent, and are there."""
    unanswered: list[str] = field(default_factory=list)
    answers_differ: list[str] = field(default_factory=list)
    executed: int = 0
    executed_twice: int = 0
    work: dict[str, int] = field(default_factory=dict)
    """What sorters and cells have done by their own count, told apart as `WORK` does."""
    work_wrong: list[str] = field(default_factory=list)
    loads: int = 0
    loads_lost: list[str] = field(default_factory=list)
    loads_misplaced: dict[str, str] = field(default_factory=dict)

    def wrong(self) -> dict[str, Any]:
        """What does not balance; empty when all does."""
        names = ("lost", "unended", "doubled", "uninvited", "unanswered", "answers_differ", "executed_twice")
        found = {name: getattr(self, name) for name in (*names, "work_wrong", "loads_lost", "loads_misplaced")}
        return {name: value for name, value in found.items() if value}


class Ledger:
    """Every request and the first decided answer to it."""

    def __init__(self) -> None:
        self.asked: dict[Key, Asked] = {}
        self.differing: list[str] = []
        self.answers_compared = 0

    def send(self, client: str, request_id: str, request: dict[str, Any]) -> None:
        """A request leaves, perhaps again."""
        known = self.asked.get((client, request_id))
        if known is None:
            self.asked[client, request_id] = Asked(request)
        else:
            known.sent += 1

    def hear(
        self, client: str, request_id: str, accepted: bool, reason: str, *, forged: bool = False, anew: bool = True
    ) -> None:
        """An answer was read. `forged`: to a request that bears another one's id and must be refused for it.
        `anew` False: out of a file that was read before."""
        asked = self.asked.get((client, request_id))
        name = f"{client} {request_id}"
        said = f"accepted {accepted} {reason!r}"
        if asked is None:
            self.differing.append(f"{name} was never asked, and {said} was answered")
        elif reason.startswith(UNDECIDED) and not accepted:
            pass
        elif forged:
            self.answers_compared += anew
            if accepted or REUSED not in reason:
                self.differing.append(f"{name} came with other content, and {said} was answered")
        elif asked.accepted is None:
            asked.accepted, asked.reason = accepted, reason
        else:
            self.answers_compared += anew
            if (accepted, reason) != (asked.accepted, asked.reason):
                self.differing.append(f"{name}: first accepted {asked.accepted} {asked.reason!r}, then {said}")

    def unanswered(self) -> list[Key]:
        return [key for key, asked in self.asked.items() if asked.accepted is None]

    def accepted(self, kind: str) -> list[dict[str, Any]]:
        """The accepted requests of a type, oldest first."""
        return [a.request for a in self.asked.values() if a.accepted and a.request["type"] == kind]

    def balance(self, truth: Truth) -> Balance:
        """Hold every promise against what came of it."""
        found = Balance(answers_differ=list(dict.fromkeys(self.differing)))
        found.unanswered = [f"{client} {request_id}" for client, request_id in self.unanswered()]
        promised = [request["order"] for request in self.accepted("create_order")]
        found.acknowledged = len(promised)
        ends = {order: self._end_of(order, truth, found) for order in promised}
        found.ends = Counter(end for end in ends.values() if end)
        found.doubled += [f"{order} was accepted {n} times" for order, n in Counter(promised).items() if n > 1]
        maybe = {a.request["order"] for a in self.asked.values() if a.request["type"] == "create_order"}
        refused = maybe - set(promised) - {a.request["order"] for a in self._open("create_order")}
        found.uninvited = sorted(
            order for order in {*truth.orders, *truth.ends} if order in refused or order not in maybe
        )
        found.executed = sum(device.get("executed", 0) for device in truth.devices.values())
        found.executed_twice = sum(device.get("repeated", 0) for device in truth.devices.values())
        self._work(truth, ends, found)
        self._loads(truth, found)
        return found

    def _open(self, kind: str) -> list[Asked]:
        return [a for a in self.asked.values() if a.accepted is None and a.request["type"] == kind]

    @staticmethod
    def _end_of(order: str, truth: Truth, found: Balance) -> str:
        """The one terminal state of an order, "" where that is not so."""
        logged, state = truth.ends.get(order, []), truth.orders.get(order)
        # An end that was journaled just before a kill may be missing in the log; the journal then has it.
        ends = {*logged, *([state] if state in TERMINAL else [])}
        if state is None and not logged:
            found.lost.append(order)
        elif len(logged) > 1 or len(ends) > 1 or (logged and state is not None and state not in TERMINAL):
            found.doubled.append(f"{order} ended as {' and '.join(logged)}, and the journal says {state}")
        elif not ends:
            found.unended.append(f"{order} is {state}")
        else:
            return ends.pop()
        return ""

    def _work(self, truth: Truth, ends: Mapping[str, str], found: Balance) -> None:
        """A finished order's work was done once; that of a failed one perhaps, and of another one never."""
        for kind, (skill, count) in WORK.items():
            done = found.work[kind] = sum(count(device) for device in truth.devices.values())
            ordered = [
                ends[request["order"]]
                for request in self.accepted("create_order")
                if any(skill in (step["kind"], step.get("skill")) for step in request["steps"])
            ]
            least = ordered.count("finished")
            if not least <= done <= least + ordered.count("failed"):
                found.work_wrong.append(f"{done} times {kind}, and {least} such orders are finished")

    def _loads(self, truth: Truth, found: Balance) -> None:
        announced = {request["load"] for request in self.accepted("announce_load")}
        found.loads = len(announced)
        there = {**truth.shipped, **truth.standing}
        found.loads_lost = sorted(load for load in announced if load not in there)
        for load, booked in truth.booked.items():
            if place_of(booked) != place_of(there.get(load, "gone")):
                found.loads_misplaced[load] = f"booked at {booked or 'nowhere'}, is at {there.get(load, 'gone')}"
        # What has left a lane with its customer, the gateway forgets; nothing else.
        for load in announced - set(truth.booked):
            if load not in truth.shipped:
                found.loads_misplaced[load] = f"not booked at all, is at {there.get(load, 'gone')}"


def place_of(name: str) -> str:
    """Both sides' names for one place: the plant says `C1/zone 4`, the gateway `C1.1`."""
    return name.partition("/")[0].partition(".")[0]
