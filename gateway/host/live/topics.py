"""What a client may follow, and which flat maps belong to it."""

from __future__ import annotations

from typing import Literal

Topic = Literal[
    "gateway", "site", "devices", "positions", "ages", "loads", "orders", "alarms", "people", "tally", "reservations"
]

MAPS: dict[Topic, tuple[str, ...]] = {
    "gateway": ("gateway",),
    "site": ("site",),
    "devices": ("devices", "zones", "lanes"),
    "positions": ("positions",),
    "ages": ("ages",),
    "loads": ("loads",),
    "orders": ("orders",),
    "alarms": ("alarms",),
    "people": ("people",),
    "tally": ("tally",),
    "reservations": ("passes", "room"),
}
"""Topic → the maps that a frame has for it. All are by id; `site` alone is one value and takes the place of the old."""

ALWAYS: frozenset[Topic] = frozenset({"gateway"})
"""Small, and what tells a client that the feed is alive."""

UNASKED: frozenset[Topic] = frozenset(MAPS) - {"reservations"}
"""What a client follows that has not chosen."""


def chosen(names: list[str]) -> frozenset[Topic] | str:
    """The topics of a client's list, or why it is none. No name at all chooses nothing but what everybody gets."""
    unknown = [name for name in names if name not in MAPS]
    if unknown:
        return f"no topic {unknown[0][:40]!r}: there are {', '.join(MAPS)}"
    return ALWAYS | {topic for topic in MAPS if topic in names}
