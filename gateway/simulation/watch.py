"""The watch over a run: every checker sees what goes in and out, and the first rule broken ends the run.

Checkers compute from the wire, the plant and what hosts were told, and look into the kernel's books only to compare
them with those.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from gateway.contract import AlarmEvent, Command, Effect, Note, Ns, OrderEvent, Reply
from gateway.kernel import Kernel
from gateway.shell.engine import Engine
from gateway.simulation.timeline import SECOND, Timeline

EVENTS_KEPT = 80


@dataclass(frozen=True)
class Violation:
    """A rule was broken: which, when (simulated ns from the beginning), how, and what happened before."""

    checker: str
    at_ns: Ns
    text: str
    events: tuple[str, ...]


class Checker:
    """One rule of DESIGN section 8. Methods that a rule does not need do nothing."""

    name = ""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def fail(self, text: str) -> None:
        self.watch.fail(self.name, text)

    def entered(self, body: object, at_ns: Ns) -> None:
        """An input is on its way into the journal, with its kernel time."""

    def released(self, effect: Effect) -> None:
        """An effect has left the engine."""

    def written(self, command: Command[Any]) -> None:
        """A driver has written a command to its device."""

    def concluded(self, kernel: Kernel) -> None:
        """A batch has been taken in whole."""

    def looked(self) -> None:
        """Four times a second: the plant may have changed."""

    def died(self, engine: Engine) -> None:
        """The process has ended; `engine` is as it was then."""

    def restored(self, kernel: Kernel) -> None:
        """A new process has read its journal."""

    def at_rest(self, kernel: Kernel) -> None:
        """Faults are over and everything has had its time."""


class Watch:
    """All checkers of one run."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.checkers: list[Checker] = []
        self.violation: Violation | None = None
        self._events: deque[str] = deque(maxlen=EVENTS_KEPT)

    def say(self, text: str) -> None:
        """Remember something that happened, for the story of a violation."""
        self._events.append(f"{self.timeline.now_ns / SECOND:9.3f} s  {text}")

    def fail(self, checker: str, text: str) -> None:
        """A rule is broken; only the first one counts, the rest follows from it."""
        if self.violation is None:
            self.violation = Violation(checker, self.timeline.now_ns, text, tuple(self._events))

    def entered(self, body: object, at_ns: Ns) -> None:
        for checker in self.checkers:
            checker.entered(body, at_ns)

    def released(self, effect: Effect) -> None:
        self._tell(effect)
        for checker in self.checkers:
            checker.released(effect)

    def written(self, command: Command[Any]) -> None:
        for checker in self.checkers:
            checker.written(command)

    def concluded(self, kernel: Kernel) -> None:
        for checker in self.checkers:
            checker.concluded(kernel)

    def looked(self) -> None:
        for checker in self.checkers:
            checker.looked()

    def died(self, engine: Engine) -> None:
        self.say("the gateway's process dies")
        for checker in self.checkers:
            checker.died(engine)

    def restored(self, kernel: Kernel) -> None:
        self.say("the gateway's process starts")
        for checker in self.checkers:
            checker.restored(kernel)

    def at_rest(self, kernel: Kernel) -> None:
        for checker in self.checkers:
            checker.at_rest(kernel)

    def _tell(self, effect: Effect) -> None:
        match effect:
            case Command():
                self.say(f"→ {effect.command_id} {effect.action}")
            case OrderEvent():
                self.say(f"order {effect.order} is {effect.state} {effect.reason}")
            case AlarmEvent():
                self.say(f"alarm {'' if effect.active else 'gone '}{effect.alarm}: {effect.text}")
            case Note():
                self.say(f"note {effect.source}: {effect.event} {effect.detail}")
            case Reply(accepted=False):
                self.say(f"{effect.client} {effect.request_id} refused: {effect.reason}")
            case _:
                pass
