"""The newest diffs, for clients that were away or are behind. Shared by all: nobody has a queue of their own."""

from __future__ import annotations

from collections import deque

from gateway.contract import Struct
from gateway.host.live.topics import Topic

DIFFS_MAX = 600
CHARACTERS_MAX = 16 * 2**20


class Diff(Struct, frozen=True):
    """What changed with `seq`, by topic, as members of a JSON object."""

    seq: int
    at_ms: int
    members: dict[Topic, str]


class Ring:
    """Holds DIFFS_MAX diffs and CHARACTERS_MAX of JSON at the most; the oldest make room.

    `seq` is the number of the newest; each one's is higher by one than that before.
    """

    def __init__(self, seq: int, diffs_max: int = DIFFS_MAX, characters_max: int = CHARACTERS_MAX) -> None:
        self.seq = seq
        self._diffs: deque[Diff] = deque()
        self._diffs_max = diffs_max
        self._characters_max = characters_max
        self._characters = 0
        self._newest: dict[frozenset[Topic], str] = {}
        """The newest diff as it is sent, by the topics of those who get it."""

    def add(self, at_ms: int, members: dict[Topic, str]) -> None:
        """A diff with the next number."""
        self.seq += 1
        self._newest.clear()
        self._diffs.append(Diff(self.seq, at_ms, members))
        self._characters += _size(members)
        while len(self._diffs) > self._diffs_max or (self._characters > self._characters_max and self._diffs):
            self._characters -= _size(self._diffs.popleft().members)

    def covers(self, after: int) -> bool:
        """Whether all that came after `after` is here. A number that was never given is not covered."""
        return self.seq - len(self._diffs) <= after <= self.seq

    def frame(self, seq: int, topics: frozenset[Topic]) -> str:
        """Diff `seq` (the one before it is covered) for whoever follows `topics`; "" where it has none of them.

        The newest is put together once for all who follow the same.
        """
        found = self._newest.get(topics) if seq == self.seq else None
        if found is None:
            diff = self._diffs[seq - self.seq - 1]
            members = [text for topic, text in diff.members.items() if topic in topics]
            found = f'{{"type":"diff","seq":{seq},"at_ms":{diff.at_ms},{",".join(members)}}}' if members else ""
            if seq == self.seq:
                self._newest[topics] = found
        return found


def _size(members: dict[Topic, str]) -> int:
    return sum(map(len, members.values()))
