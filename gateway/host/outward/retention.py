"""How what waits is kept within bounds. Whatever is dropped is counted, and its target is told by a row in its place.

These run in the store's thread, within a transaction.
"""

from __future__ import annotations

from typing import Any

import apsw

from gateway.contract import Ns

GAP_SUBJECT = "outbox/gap"


def drop_beyond(connection: apsw.Connection, target: str, waiting_max: int) -> int:
    """Drop the oldest that wait for `target` beyond `waiting_max`; returns how many events those were."""
    waiting = _number(connection, "select count(*) from outward_due where target = ?", target)
    if waiting <= waiting_max:
        return 0
    # One more than there are too many: its row stays, to tell of the gap.
    rows: list[Any] = connection.execute(
        "select place, gap from outward_due where target = ? order by place limit ?",
        (target, waiting - waiting_max + 1),
    ).fetchall()
    return _drop(connection, target, rows)


def drop_older(connection: apsw.Connection, target: str, before_ns: Ns) -> int:
    """Drop what waits for `target` since before `before_ns`; returns how many events those were."""
    rows: list[tuple[int, int]] = []
    for place, gap, at_ns in connection.execute(
        """select d.place, d.gap, e.at_ns from outward_due d join outward_events e on e.place = d.place
        where d.target = ? order by d.place""",
        (target,),
    ):
        if at_ns >= before_ns:
            break  # younger ones only from here on: the whole list is not read for nothing
        rows.append((place, gap))
    return _drop(connection, target, rows)


def drop_dead_beyond(connection: apsw.Connection, target: str, dead_max: int) -> int:
    """Drop the oldest dead letters of `target` beyond `dead_max`; returns how many."""
    dead = _number(connection, "select count(*) from outward_dead where target = ?", target)
    if dead <= dead_max:
        return 0
    connection.execute(
        "delete from outward_dead where number in (select number from outward_dead where target = ? "
        "order by number limit ?)",
        (target, dead - dead_max),
    )
    _count(connection, target, dead - dead_max)
    return dead - dead_max


def _drop(connection: apsw.Connection, target: str, rows: list[tuple[int, int]]) -> int:
    """Put one row that tells of the gap in place of `rows`, the oldest of this target."""
    events = sum(gap == 0 for _, gap in rows)
    if events == 0:
        return 0
    told = sum(gap or 1 for _, gap in rows)
    last = rows[-1][0]
    connection.executemany("delete from outward_due where target = ? and place = ?", [(target, p) for p, _ in rows])
    connection.execute("insert into outward_due values (?, ?, ?, ?)", (target, last, GAP_SUBJECT, told))
    connection.executemany(
        """delete from outward_events where place = ?1
        and not exists (select 1 from outward_due where place = ?1)""",
        [(place,) for place, _ in rows],
    )
    _count(connection, target, events)
    return events


def _number(connection: apsw.Connection, query: str, target: str) -> int:
    found: Any = connection.execute(query, (target,)).fetchone()
    return int(found[0])


def _count(connection: apsw.Connection, target: str, dropped: int) -> None:
    connection.execute("update outward_targets set dropped = dropped + ? where target = ?", (dropped, target))
