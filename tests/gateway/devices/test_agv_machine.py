"""The vehicle's picture under any sequence of state messages, and how one is classified."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices import agv as av
from gateway.devices.agv import AGV_STATES, ActionState, Agv, AgvError, AgvReport, PathState, classify
from gateway.devices.facts import (
    ActionEnded,
    FaultCleared,
    Faulted,
    Irregular,
    NodeReached,
    OrderRejected,
    StateChanged,
)

STATUSES = ("WAITING", "INITIALIZING", "RUNNING", "PAUSED", "FINISHED", "FAILED")
ENDED = ("FINISHED", "FAILED")
REST = AgvReport(
    drive_id="", update_id=0, last_node="N1", last_sequence_id=0, path=(), edges_left=0, actions=(), driving=False,
    paused=False, new_base_request=False, operating_mode="AUTOMATIC", battery_permille=800, charging=False,
    e_stop="NONE", field_violation=False, errors=(),
)  # fmt: skip
errors = st.builds(
    AgvError,
    st.sampled_from(["orderError", "validationError", "noOrderToCancel", "motorHot", "laserDirty"]),
    st.sampled_from(["WARNING", "FATAL", "URGENT", "CRITICAL", "ODD"]),
    st.sampled_from(["", "why"]),
    st.sampled_from(["", "d1", "d2"]),
)
actions = st.builds(ActionState, st.sampled_from("abc"), st.sampled_from([*STATUSES, "ODD"]), st.just(""))
reports = st.builds(
    AgvReport,
    drive_id=st.sampled_from(["", "d1", "d2"]), update_id=st.integers(0, 2),
    last_node=st.sampled_from(["", "N1", "N2"]), last_sequence_id=st.integers(0, 4),
    path=st.lists(st.builds(PathState, st.just("N3"), st.integers(0, 4), st.booleans()), max_size=1).map(tuple),
    edges_left=st.integers(0, 1), actions=st.lists(actions, max_size=3).map(tuple), driving=st.booleans(),
    paused=st.booleans(), new_base_request=st.booleans(),
    operating_mode=st.sampled_from(["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL", "SERVICE", "TEACHIN", "ODD"]),
    battery_permille=st.integers(0, 1000), charging=st.booleans(),
    e_stop=st.sampled_from(["", "NONE", "AUTOACK", "MANUAL", "REMOTE"]), field_violation=st.booleans(),
    errors=st.lists(errors, max_size=2).map(tuple), loads=st.sampled_from([None, (), ("T1",)]), localised=st.booleans(),
)  # fmt: skip


def shown(**levels: Any) -> AgvReport:
    return msgspec.structs.replace(REST, **levels)


def seen(*so_far: AgvReport) -> Agv:
    vehicle = av.new("V1")
    vehicle.health.link_changed("up", "online", 1)
    for report in so_far:
        av.observe(vehicle, report)
    return vehicle


PATH = (PathState("N2", 2, True),)
FATAL = AgvError("motorHot", "FATAL")


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (REST, "idle"),
        (shown(charging=True), "charging"),
        (shown(actions=(ActionState("a", "FINISHED"), ActionState("b", "FAILED"))), "idle"),
        (shown(path=PATH), "waiting"),
        (shown(edges_left=1), "waiting"),
        (shown(actions=(ActionState("a", "WAITING"),)), "waiting"),
        (shown(path=PATH, charging=True), "waiting"),
        (shown(path=PATH, driving=True), "driving"),
        (shown(driving=True, actions=(ActionState("a", "RUNNING"),)), "driving"),
        (shown(path=PATH, actions=(ActionState("a", "RUNNING"),)), "acting"),
        (shown(actions=(ActionState("a", "INITIALIZING"),)), "acting"),
        (shown(actions=(ActionState("a", "PAUSED"),)), "acting"),
        (shown(paused=True, driving=True), "paused"),
        (shown(paused=True, errors=(FATAL,)), "faulted"),
        (shown(errors=(AgvError("motorHot", "CRITICAL"),)), "faulted"),
        (shown(errors=(AgvError("motorHot", "WARNING"), AgvError("x", "URGENT"))), "idle"),
        (shown(errors=(AgvError("orderError", "FATAL"),)), "idle"),
        (shown(e_stop="AUTOACK", driving=True), "faulted"),
        (shown(e_stop=""), "idle"),
        (shown(operating_mode="SEMIAUTOMATIC"), "idle"),
        (shown(operating_mode="MANUAL", errors=(FATAL,), e_stop="MANUAL"), "manual"),
        (shown(operating_mode="TEACHIN", driving=True), "manual"),
    ],
)
def test_classification(report: AgvReport, state: str) -> None:
    assert classify(report) == state


@settings(max_examples=300)
@given(steps=st.lists(st.one_of(reports, st.sampled_from(["up", "uncertain", "down"])), max_size=15))
def test_any_sequence(steps: list[AgvReport | str]) -> None:
    vehicle = av.new("V1")
    faulted = False
    listed: dict[str, str] = {}
    for at_ns, step in enumerate(steps):
        if isinstance(step, str):
            vehicle.health.link_changed(step, "test", at_ns)  # type: ignore[arg-type]
            continue
        facts = av.observe(vehicle, step)
        assert not any(isinstance(fact, Irregular) for fact in facts)  # any state may follow any other in few steps
        for fact in facts:
            if isinstance(fact, Faulted | FaultCleared):
                assert isinstance(fact, Faulted) is not faulted
                faulted = not faulted
        latest = {action.action_id: action.status for action in step.actions}
        ended = {n for n, status in latest.items() if status in ENDED and listed.get(n) not in ENDED}
        told = [fact.action_id for fact in facts if isinstance(fact, ActionEnded)]
        assert sorted(told) == sorted(ended)
        listed = latest
        assert faulted is (vehicle.state == "faulted")
        assert_pictured(vehicle, step)
        assert av.observe(vehicle, step) == []
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(vehicle), type=Agv) == vehicle


def assert_pictured(vehicle: Agv, report: AgvReport) -> None:
    assert vehicle.state == classify(report)
    assert vehicle.state in AGV_STATES
    for name in (
        "drive_id", "update_id", "last_node", "last_sequence_id", "operating_mode", "battery_permille", "charging",
        "localised", "loads", "errors",
    ):  # fmt: skip
        assert getattr(vehicle, name) == getattr(report, name)
    assert vehicle.actions == {action.action_id: action.status for action in report.actions}
    if vehicle.state in ("idle", "charging"):
        assert vehicle.at_rest
    if vehicle.state in ("waiting", "acting"):
        assert not vehicle.at_rest
    usable = vehicle.health.link == "up" and report.operating_mode == "AUTOMATIC" and report.localised
    usable = usable and vehicle.state not in ("faulted", "paused") and bool(report.last_node)
    assert (vehicle.refusal() is None) is usable
    assert not (vehicle.refusal() or "").endswith(": ")


def test_a_first_report_places_the_vehicle() -> None:
    assert av.observe(seen(), REST) == [NodeReached("V1", "N1", 0)]


def test_a_report_after_an_outage_places_it_again_and_ends_nothing_twice() -> None:
    done = shown(drive_id="d1", actions=(ActionState("a", "FINISHED"), ActionState("b", "RUNNING")))
    vehicle = seen(done)
    vehicle.health.link_changed("down", "offline", 2)
    assert vehicle.refusal() == "link is down: offline"
    vehicle.health.link_changed("up", "online", 3)
    assert vehicle.refusal() == "no report since the link came up"
    after = shown(drive_id="d1", actions=(ActionState("a", "FINISHED"), ActionState("b", "FAILED", "no load")))
    assert av.observe(vehicle, after) == [
        StateChanged("V1", "vehicle", "acting", "idle"),
        NodeReached("V1", "N1", 0),
        ActionEnded("V1", "b", ok=False, result="no load"),
    ]


def test_an_action_still_listed_beside_a_new_drive_does_not_end_again() -> None:
    vehicle = seen(shown(drive_id="d1", actions=(ActionState("charge", "FINISHED"),)))
    facts = av.observe(vehicle, shown(drive_id="d2", actions=(ActionState("charge", "FINISHED"),)))
    assert facts == [NodeReached("V1", "N1", 0)]


def test_a_drive_on_the_way() -> None:
    vehicle = seen(REST)
    facts = av.observe(vehicle, shown(drive_id="d1", path=PATH, edges_left=1, driving=True))
    assert facts == [StateChanged("V1", "vehicle", "idle", "driving"), NodeReached("V1", "N1", 0)]
    facts = av.observe(vehicle, shown(drive_id="d1", last_node="N2", last_sequence_id=2))
    assert facts == [StateChanged("V1", "vehicle", "driving", "idle"), NodeReached("V1", "N2", 2)]


def test_a_refused_drive_is_told_once_for_as_long_as_it_is_listed() -> None:
    refusal = AgvError("orderUpdateError", "WARNING", "not stitched", "d1")
    vehicle = seen(REST)
    expected = OrderRejected("V1", "d1", "orderUpdateError (WARNING): not stitched")
    assert av.observe(vehicle, shown(errors=(refusal, refusal))) == [expected]
    assert av.observe(vehicle, shown(errors=(refusal,), battery_permille=799)) == []
    assert av.observe(vehicle, REST) == []
    assert av.observe(vehicle, shown(errors=(refusal,))) == [expected]


def test_a_fault_names_its_causes() -> None:
    vehicle = seen(REST)
    facts = av.observe(vehicle, shown(errors=(AgvError("motorHot", "FATAL", "93 °C"),), e_stop="MANUAL"))
    text = "motorHot (FATAL): 93 °C; emergency stop MANUAL: clear the cause at the vehicle"
    assert facts == [StateChanged("V1", "vehicle", "idle", "faulted"), Faulted("V1", "vehicle", "faulted", text)]
    assert vehicle.refusal() == "vehicle has a fault: motorHot (FATAL): 93 °C"
    av.observe(vehicle, shown(e_stop="MANUAL"))
    assert vehicle.refusal() == "vehicle has a fault: emergency stop"


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (shown(operating_mode="SEMIAUTOMATIC"), "vehicle is in mode SEMIAUTOMATIC"),
        (shown(operating_mode="MANUAL"), "vehicle is in mode MANUAL"),
        (shown(errors=(FATAL,)), "vehicle has a fault: motorHot (FATAL)"),
        (shown(paused=True), "vehicle is paused"),
        (shown(localised=False), "vehicle does not know where it is"),
        (shown(last_node=""), "vehicle stands on no known node"),
        (shown(errors=(AgvError("laserDirty", "WARNING"),), charging=True), None),
    ],
)
def test_what_keeps_a_vehicle_from_driving_is_said(report: AgvReport, why: str | None) -> None:
    assert seen(report).refusal() == why
