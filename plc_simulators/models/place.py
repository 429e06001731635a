"""A place that loads stand in: what equipment hands a load over to, and what a vehicle picks from and drops at."""

from __future__ import annotations

from typing import Protocol


class Place(Protocol):
    """Room for `capacity` loads. Loads are named by their ids."""

    @property
    def capacity(self) -> int: ...

    def room(self) -> int:
        """How many more loads it would take now (0 while it is blocked)."""
        ...

    def take(self, load: str) -> None:
        """Receive a load; the caller has checked `room` in the same step."""
        ...

    def give(self, load: str) -> str | None:
        """Hand out that load, any load if "" is asked for; None where there is none to be had."""
        ...

    def loads(self) -> tuple[str, ...]:
        """The loads that stand there, oldest first."""
        ...


class Shelf:
    """A place without machinery: rack, lane, workbench."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._loads: list[str] = []

    def room(self) -> int:
        return self.capacity - len(self._loads)

    def take(self, load: str) -> None:
        assert self.room() > 0, f"load {load} put into a full place of {self.capacity}"
        self._loads.append(load)

    def give(self, load: str) -> str | None:
        wanted = load or next(iter(self._loads), "")
        if wanted not in self._loads:
            return None
        self._loads.remove(wanted)
        return wanted

    def loads(self) -> tuple[str, ...]:
        return tuple(self._loads)

    def clear(self) -> tuple[str, ...]:
        """Take everything away at once and return it."""
        gone = tuple(self._loads)
        self._loads.clear()
        return gone
