"""When a model has to be stepped next. Between two events a model only goes on steadily (a load rolls on, a vehicle
drives, a robot works), and a hundred scans of that are done at once. What comes from outside rouses the model first.
"""

from __future__ import annotations

from typing import Protocol

QUIET_SCANS_MAX = 100
"""A model is looked at once in a second at the least, whatever it says."""


class Scans:
    """The number of PLC scans that a plant has done, the same for all its models."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class Steady(Protocol):
    """A model that knows how long nothing happens to it."""

    def quiet_scans(self) -> int:
        """How many scans from now on bring nothing but steady progress."""

    def skip(self, scans: int) -> None:
        """Make the progress of so many quiet scans."""


class Pace:
    """Where one model stands in time: `at` is the last scan that it has done, `due` the next that it must do."""

    __slots__ = ("_model", "at", "due", "scans", "steps")

    def __init__(self, model: Steady) -> None:
        self._model = model
        self.scans = Scans()
        self.at = 0
        self.due = 0
        self.steps = 0
        """Scans really done: what the model shows changes in them only."""

    def catch_up(self) -> None:
        """Bring the model to the present."""
        behind = self.scans.now - self.at
        if behind > 0:
            self._model.skip(behind)
            self.at = self.scans.now

    def rouse(self) -> None:
        """Something is about to change from outside: bring the model to the present; it steps in the next scan."""
        self.catch_up()
        self.due = 0

    def step_done(self) -> None:
        """The model has done one scan more."""
        self.steps += 1
        self.at = self.scans.now + 1
        self.due = self.at + 1 + min(self._model.quiet_scans(), QUIET_SCANS_MAX)
