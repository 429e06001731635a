"""Every device's table: triggers outside it change nothing, and `adopt` always ends where the plant is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.agv import AGV
from gateway.devices.conveyor import ZONE
from gateway.devices.machine import STEPS_MAX, Table
from gateway.devices.packml import PACKML
from gateway.devices.sorter import LANE, TRACK
from gateway.devices.workstation import STATION
from gateway.dispatch.state import ORDER, TASK

TABLES = [PACKML, ZONE, LANE, TRACK, AGV, STATION, ORDER, TASK]
named = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@dataclass(slots=True)
class Record:
    state: str


def steps_between(table: Table, source: str, dest: str) -> int | None:
    """The least number of rows from `source` to `dest`, by widening the set of reachable states."""
    reached, steps = {source}, 0
    while dest not in reached:
        wider = reached | {row_dest for _, row_source, row_dest in table.rows if row_source in reached}
        if wider == reached:
            return None
        reached, steps = wider, steps + 1
    return steps


@named
def test_fire_takes_the_row_or_changes_nothing(table: Table) -> None:
    triggers = {trigger for trigger, _, _ in table.rows} | {"dance", "to_empty", "_private", ""}
    for state in (*table.states, "number 42", ""):
        for trigger in triggers:
            record = Record(state)
            dest = [row_dest for name, source, row_dest in table.rows if (name, source) == (trigger, state)]
            assert table.fire(record, trigger) is bool(dest)
            assert record.state == (dest[0] if dest else state)


@named
def test_rows_name_known_states_only(table: Table) -> None:
    assert {state for _, source, dest in table.rows for state in (source, dest)} <= set(table.states)
    assert table.initial in table.states


@named
@given(data=st.data())
def test_no_sequence_of_triggers_leaves_the_table(table: Table, data: st.DataObject) -> None:
    triggers = sorted({trigger for trigger, _, _ in table.rows})
    record = Record(table.initial)
    for trigger in data.draw(st.lists(st.sampled_from([*triggers, "dance"]), max_size=30)):
        before = record.state
        if table.fire(record, trigger):
            assert (trigger, before, record.state) in table.rows
        else:
            assert record.state == before


@named
def test_adopt_ends_in_the_observed_state_and_tells_a_jump(table: Table) -> None:
    for source in table.states:
        for dest in table.states:
            record = Record(source)
            steps = steps_between(table, source, dest)
            way = table.path(source, dest)
            short = steps is not None and steps <= STEPS_MAX
            assert (len(way) if way is not None else None) == (steps if short else None)
            assert table.adopt(record, dest) is short
            assert record.state == dest


@named
def test_a_way_is_one_that_fire_takes(table: Table) -> None:
    for source in table.states:
        for dest in table.states:
            record = Record(source)
            for trigger in table.path(source, dest) or ():
                assert table.fire(record, trigger)
            assert record.state == (dest if table.path(source, dest) is not None else source)


@named
def test_an_unknown_state_is_not_adopted(table: Table) -> None:
    record = Record(table.initial)
    assert table.adopt(record, "number 42") is False
    assert record.state == table.initial


@named
def test_from_an_unknown_state_every_state_is_a_jump(table: Table) -> None:
    for dest in table.states:
        record = Record("number 42")
        assert table.adopt(record, dest) is False
        assert record.state == dest


def test_a_table_with_two_ways_for_one_trigger_is_refused() -> None:
    with pytest.raises(AssertionError, match="two rows"):
        Table("door", ("open", "shut"), [("push", "open", "shut"), ("push", "open", "open")], "open")


rows = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from("ABCDEFG"), st.sampled_from("ABCDEFG")),
    max_size=14, unique_by=lambda row: row[:2],
)  # fmt: skip


@given(rows=rows)
def test_any_table_at_all(rows: list[tuple[str, str, str]]) -> None:
    table = Table("any", tuple("ABCDEFG"), rows, "A")
    test_adopt_ends_in_the_observed_state_and_tells_a_jump(table)
    test_fire_takes_the_row_or_changes_nothing(table)
