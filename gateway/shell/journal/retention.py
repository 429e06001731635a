"""What is kept and what makes room: the newest two snapshots always, older ones here and there to replay from, and
inputs as long as the file stays within its bound.

Room is made at the old end, up to a snapshot that is kept, in steps that are small beside a commit: a journal that is
in use must not stop for its own housekeeping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from gateway.shell.journal.schema import rows

BYTES_MAX = 2 * 2**30
"""What the journal's file holds at the most, unless the site says otherwise."""
SNAPSHOTS_KEPT = 2
BASE_EVERY = 100_000
"""Inputs between two snapshots that are kept beyond the newest two: what a replay of any moment has to go through."""
STEP_ROWS = 1_000
STEP_BYTES = 2 * 2**20
"""A step ends at either."""
_PAGES = ("page_count", "freelist_count", "page_size")
LOOK_BYTES = 2**20
"""The bound is looked at whenever so much has come in."""


@dataclass(frozen=True)
class Limits:
    """`pages_max`: SQLite's own limit, beyond which nothing is taken. `bytes_max`: beyond it the oldest inputs go."""

    pages_max: int | None = None
    bytes_max: int = BYTES_MAX
    base_every: int = BASE_EVERY


def dropped(snapshots: Sequence[int], base_seq: int, base_every: int) -> list[int]:
    """Which of `snapshots` (numbers in order) go: all but the newest two and one about every `base_every` inputs.

    `base_seq` is where the inputs begin. A snapshot just there is kept, or the first one after it where there is none:
    without it nothing could be replayed from the inputs before the next.
    """
    gone, kept = [], 0 if base_seq == 0 else None
    for seq in snapshots[:-SNAPSHOTS_KEPT]:
        if seq < base_seq or (kept is not None and seq - kept < base_every):
            gone.append(seq)
        else:
            kept = seq
    return gone


def goal(snapshots: Sequence[int], base_seq: int) -> int | None:
    """Up to which input room can be made next; None: every input is needed by the newest two snapshots."""
    if len(snapshots) < SNAPSHOTS_KEPT:
        return None
    return next((seq for seq in snapshots[: 1 - SNAPSHOTS_KEPT] if seq > base_seq), None)


def used_bytes(connection: apsw.Connection) -> int:
    """What the file would take without the pages in it that are free."""
    pages, free, size = (rows(connection, f"PRAGMA {name}")[0][0] for name in _PAGES)
    used: int = (pages - free) * size
    return used


def step_to(connection: apsw.Connection, base_seq: int, goal_seq: int, rows_max: int) -> int:
    """How far one step goes from `base_seq`: the number of the last input that it removes."""
    seq, size = base_seq, 0
    lengths = "SELECT seq, length(body) FROM inputs WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    for here, length in rows(connection, lengths, (base_seq, goal_seq, rows_max)):
        seq, size = here, size + length
        if size >= STEP_BYTES:
            break
    return seq


REMOVE = (
    "DELETE FROM inputs WHERE seq <= ?",
    "DELETE FROM drawn WHERE first_seq <= ?",
    "DELETE FROM snapshots WHERE seq < ?",
)
"""What one step does, each with the number of the last input that goes."""
