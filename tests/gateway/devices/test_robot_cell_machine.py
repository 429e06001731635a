"""The robot cell's picture under any sequence of reports, outages and restarts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices import robot_cell as rc
from gateway.devices.echo import Echo
from gateway.devices.facts import CellFinished, FaultCleared, Faulted, Irregular, Restarted
from gateway.devices.packml import STATE_BY_NUMBER
from gateway.devices.robot_cell import CellReport, Control, RobotCell

U32 = 2**32
counts = st.sampled_from([0, 1, 2, 3, U32 - 2, U32 - 1])
reports = st.builds(
    CellReport,
    boot_id=st.integers(1, 2), echo=st.just(Echo()), state=st.integers(0, 19), mode=st.integers(0, 4),
    track_id=st.integers(0, 3), blocked=st.booleans(), starved=st.booleans(), processed=counts, defective=counts,
    infeed_occupied=st.booleans(), outfeed_occupied=st.booleans(),
)  # fmt: skip
IDLE = CellReport(1, Echo(), 4, 1, 0, False, False, 5, 2, False, False)


def at(number: int, **levels: int) -> CellReport:
    return msgspec.structs.replace(IDLE, state=number, **levels)


def seen(*so_far: CellReport) -> RobotCell:
    cell = rc.new("R1")
    cell.health.link_changed("up", "connected", 1)
    for report in so_far:
        rc.observe(cell, report)
    return cell


@settings(max_examples=300)
@given(steps=st.lists(st.one_of(reports, st.sampled_from(["up", "uncertain", "down"])), max_size=20))
def test_any_sequence(steps: list[CellReport | str]) -> None:
    cell = rc.new("R1")
    aborted = False
    for at_ns, step in enumerate(steps):
        if isinstance(step, str):
            cell.health.link_changed(step, "test", at_ns)  # type: ignore[arg-type]
            continue
        booted, processed = cell.boot_id, cell.processed
        facts = rc.observe(cell, step)
        for fact in facts:
            if isinstance(fact, Faulted | FaultCleared):
                assert isinstance(fact, Faulted) is not aborted
                aborted = not aborted
        assert aborted is (step.state == 9)
        grown = booted == step.boot_id and (step.processed - processed) % U32 == 1
        assert sum(isinstance(fact, CellFinished) for fact in facts) == grown
        assert (Restarted("R1", step.boot_id) in facts) is (booted not in (None, step.boot_id))
        assert cell.state == STATE_BY_NUMBER.get(step.state, f"number {step.state}")
        assert (cell.boot_id, cell.packml_mode, cell.track_id) == (step.boot_id, step.mode, step.track_id)
        assert (cell.processed, cell.defective) == (step.processed, step.defective)
        assert (cell.infeed_occupied, cell.outfeed_occupied) == (step.infeed_occupied, step.outfeed_occupied)
        assert cell.health.reported
        assert rc.observe(cell, step) == []
        usable = cell.health.link == "up" and step.mode == 1 and step.state in set(range(1, 18)) - {1, 8, 9}
        assert (cell.refusal() is None) is usable
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(cell), type=RobotCell) == cell


@dataclass
class Plant:
    """A cell that works load after load; a round is Start, the states in between, and Reset."""

    track_id: int = 0
    processed: int = U32 - 2
    defective: int = 0

    def round(self, good: bool) -> list[CellReport]:
        self.track_id += 1
        before = [self._report(number) for number in (3, 6, 16)]
        self.processed = (self.processed + 1) % U32
        self.defective += not good
        return [*before, *(self._report(number) for number in (17, 15, 4))]

    def _report(self, number: int) -> CellReport:
        return at(number, track_id=self.track_id, processed=self.processed, defective=self.defective)


@given(goods=st.lists(st.booleans(), min_size=1, max_size=8), data=st.data())
def test_every_load_is_finished_once_whatever_reports_are_missed(goods: list[bool], data: st.DataObject) -> None:
    plant = Plant()
    cell = seen(at(4, processed=U32 - 2, defective=0))
    finished: list[CellFinished] = []
    for good in goods:
        rounds = plant.round(good)
        # The gateway starts nothing before it has seen the end, so one of the last three is never missed.
        kept = data.draw(st.sets(st.integers(0, 5))) | {data.draw(st.sampled_from([3, 4, 5]))}
        for place in sorted(kept):
            facts = rc.observe(cell, rounds[place])
            assert not any(isinstance(fact, Irregular) and "finished" in fact.text for fact in facts)
            finished.extend(fact for fact in facts if isinstance(fact, CellFinished))
    assert finished == [CellFinished("R1", n, good) for n, good in enumerate(goods, 1)]


def test_the_end_seen_only_when_the_next_load_is_at_work_is_the_first_loads() -> None:
    cell = seen(at(6, track_id=7))
    facts = rc.observe(cell, at(3, track_id=8, processed=6))
    assert CellFinished("R1", 7, good=True) in facts


def test_bad_work_is_told() -> None:
    cell = seen(at(6, track_id=7))
    assert CellFinished("R1", 7, good=False) in rc.observe(cell, at(17, track_id=7, processed=6, defective=3))


def test_counts_that_begin_anew_with_a_restart_finish_nothing() -> None:
    cell = seen(at(6, track_id=7))
    facts = rc.observe(cell, at(2, boot_id=2, processed=0, defective=0))
    assert facts[0] == Restarted("R1", 2)
    assert not any(isinstance(fact, CellFinished) for fact in facts)
    assert CellFinished("R1", 8, good=True) in rc.observe(cell, at(17, boot_id=2, track_id=8, processed=1, defective=0))


def test_several_ends_at_once_are_irregular() -> None:
    facts = rc.observe(seen(at(6)), at(6, processed=8))
    assert [type(fact) for fact in facts] == [Irregular]


def test_an_end_during_an_outage_is_told_after_it() -> None:
    cell = seen(at(6, track_id=7))
    cell.health.link_changed("down", "cable", 2)
    cell.health.link_changed("up", "connected", 3)
    assert CellFinished("R1", 7, good=True) in rc.observe(cell, at(17, track_id=7, processed=6))


@pytest.mark.parametrize(
    ("number", "says"),
    [(9, "clear the cause"), (8, "clear the cause"), (1, "clear the cause"), (42, "PackML does not know"), (4, None)],
)
def test_refusals(number: int, says: str | None) -> None:
    refusal = seen(at(4), at(number)).refusal()
    assert refusal is None if says is None else says in str(refusal)


def test_decode_and_encode() -> None:
    values = {
        "ack_seq": 0, "done_seq": 0, "result": 0, "epoch": 0, "boot_id": 1, "state": 4, "mode": 1, "track_id": 0,
        "blocked": False, "starved": False, "processed": 5, "defective": 2, "infeed_occupied": False,
        "outfeed_occupied": False,
    }  # fmt: skip
    assert rc.decode(values) == IDLE
    with pytest.raises(KeyError):
        rc.decode({name: value for name, value in values.items() if name != "mode"})
    with pytest.raises(msgspec.ValidationError):
        rc.decode({**values, "blocked": "no"})
    assert rc.encode(Control("Start", 7, "wrap")) == {"cmd_code": 2, "cmd_track_id": 7, "cmd_recipe": "wrap"}
    assert rc.encode(Control("Reset")) == {"cmd_code": 1, "cmd_track_id": 0, "cmd_recipe": ""}


def test_a_cell_that_is_not_in_produce_is_left_alone() -> None:
    assert seen(at(4, mode=2)).refusal() == "PLC is in mode 2, not Produce"
