"""The whole picture at one moment, in parts that can be sent one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gateway.host.live.topics import MAPS, Topic

ENTRIES_A_PART = 250
Whole = Callable[[Topic, int], list[str]]


class Snapshot:
    """Shared by all who begin with it. A topic is encoded when the first of them asks for it."""

    def __init__(self, seq: int, at_ms: int, epoch: int) -> None:
        self.seq = seq
        self.at_ms = at_ms
        self.epoch = epoch
        self.in_hand = 0
        """How many clients are being sent it."""
        self._parts: dict[Topic, list[str]] = {}

    def has(self, topics: Iterable[Topic]) -> bool:
        return all(topic in self._parts for topic in topics)

    def add(self, topics: Iterable[Topic], whole: Whole) -> None:
        """Encode what is not there yet. Right only while the picture is that of `seq`."""
        for topic in topics:
            if topic not in self._parts:
                self._parts[topic] = whole(topic, ENTRIES_A_PART)

    def frames(self, topics: frozenset[Topic]) -> Iterator[str]:
        """The messages for whoever follows `topics`: the first says `begins`, all but the last say `more`."""
        parts = [part for topic in MAPS if topic in topics for part in self._parts[topic]]
        small: list[str] = []
        size, begins = 0, True
        for place, part in enumerate(parts, 1):
            small.append(part)
            size += len(part)
            last = place == len(parts)
            # Small ones share a message, but one member may stand in it once only.
            if not last and size + len(parts[place]) < PART_CHARACTERS and _name(parts[place]) not in map(_name, small):
                continue
            yield self._frame(topics, small, begins=begins, more=not last)
            small, size, begins = [], 0, False

    def _frame(self, topics: frozenset[Topic], members: list[str], *, begins: bool, more: bool) -> str:
        head = f'"type":"snapshot","seq":{self.seq},"at_ms":{self.at_ms},"epoch":{self.epoch}'
        if begins:
            names = ",".join(f'"{topic}"' for topic in MAPS if topic in topics)
            head += f',"begins":true,"topics":[{names}]'
        else:
            head += ',"begins":false'
        return f'{{{head},"more":{"true" if more else "false"},{",".join(members)}}}'


PART_CHARACTERS = 64 * 1024


def _name(member: str) -> str:
    return member.partition(":")[0]
