"""The workstation under any sequence of what people do."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices import workstation as ws
from gateway.devices.workstation import Workstation

steps = st.lists(
    st.one_of(
        st.tuples(st.just("sign_on"), st.sampled_from(["ada", "bo"])),
        st.tuples(st.just("begin"), st.sampled_from(["t1", "t2"])),
        st.tuples(st.sampled_from(["sign_off", "end"]), st.just("")),
    ),
    max_size=30,
)


@given(steps=steps)
def test_any_sequence(steps: list[tuple[str, str]]) -> None:
    station = ws.new("W1")
    person, task = "", ""
    for step, name in steps:
        if step == "sign_on":
            assert ws.sign_on(station, name) is (not person)
            person = person or name
        elif step == "begin":
            assert ws.begin(station, name) is bool(person and not task)
            task = task or (name if person else "")
        elif step == "end":
            assert ws.end(station) is bool(task)
            task = ""
        else:
            assert ws.sign_off(station) is bool(person)
            person = task = ""
        assert (station.person, station.task) == (person, task)
        assert station.state == ("working" if task else "staffed" if person else "closed")
        assert (station.refusal() is None) is bool(person)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(station), type=Workstation) == station


def test_a_station_needs_no_link_but_heeds_its_mode() -> None:
    station = ws.new("W1")
    assert station.refusal() == "nobody has signed on"
    ws.sign_on(station, "ada")
    station.health.mode = "maintenance"
    assert station.refusal() == "switched to maintenance by an operator"


def test_one_person_and_one_piece_of_work_at_a_time() -> None:
    station = ws.new("W1")
    assert not ws.sign_off(station)
    assert not ws.begin(station, "t1")
    assert ws.sign_on(station, "ada")
    assert not ws.sign_on(station, "bo")
    assert not ws.end(station)
    assert ws.begin(station, "t1")
    assert not ws.begin(station, "t2")
    assert (station.person, station.task) == ("ada", "t1")
    assert ws.end(station)
    assert ws.begin(station, "t2")
    assert ws.sign_off(station)
    assert (station.state, station.person, station.task) == ("closed", "", "")
