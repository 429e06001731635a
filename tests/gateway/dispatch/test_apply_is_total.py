"""Nothing that the outside can send makes the kernel raise, and whatever state it leaves can be kept and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_plant import BEGIN_NS, Hall, demo_layout

from gateway import codec
from gateway.contract import (
    HostRequest,
    Input,
    LinkChanged,
    Notice,
    Report,
    Request,
    SendFailed,
    ShellAlarm,
    SiteChanged,
    Started,
    StepRequest,
    Tick,
)
from gateway.devices.agv import ActionState, AgvFactsheet, AgvReport, PathState
from gateway.devices.conveyor import ConveyorReport
from gateway.devices.robot_cell import CellReport
from gateway.devices.sorter import SorterEvent, SorterReport
from gateway.kernel import Kernel
from gateway.site import Site, encode_site

I64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([-(2**63), 2**16, 2**32, 2**63 - 1, 65537]))
STATUSES = ["WAITING", "INITIALIZING", "RUNNING", "PAUSED", "FINISHED", "FAILED", "?"]


@pytest.fixture(scope="module")
def busy(site: Site) -> Hall:
    """A hall in full swing: loads on vehicles, conveyors, the sorter and at benches, some of it broken."""
    hall = Hall(site, demo_layout(), seed=3, no_read_share=0.2)
    hall.staff()
    hall.stream(30)
    hall.run(110)
    hall.lose = lambda command: True
    hall.run(5)
    assert hall.kernel.state.trips
    assert hall.kernel.state.ledger
    return hall


def words(hall: Hall) -> st.SearchStrategy[str]:
    """Ids of all kinds that mean something here, and some that do not."""
    state = hall.kernel.state
    trips = [x for t in state.trips.values() for x in (t.drive_id, t.pick_id, t.drop_id)]
    known = [*(d.id for d in hall.site.devices), *hall.kernel.floor.locations, *state.loads, *state.orders]
    known += [*state.tasks, *trips, *hall.kernel.floor.roadmap.nodes, *hall.kernel.floor.people, *state.ledger]
    return st.one_of(st.sampled_from(known), st.sampled_from(["", "?", "pick", "BERLIN", "NONE", "FATAL", "FINISHED"]))


@pytest.fixture(scope="module")
def bodies(busy: Hall) -> Iterator[st.SearchStrategy[Any]]:
    """Inputs of all kinds, filled with what means something here and with what does not. Built once: it is dear."""
    name = words(busy)
    for kind, strategy in ((str, name), (int, NUMBERS)):
        st.register_type_strategy(kind, strategy)
    levels = st.one_of(*(st.from_type(t) for t in (ConveyorReport, SorterReport, CellReport, AgvReport)))
    events = st.one_of(st.from_type(SorterEvent), st.from_type(AgvFactsheet))
    yield st.one_of(
        st.builds(Report, name, levels),
        st.builds(Notice, name, events, st.none() | NUMBERS),
        st.from_type(LinkChanged),
        st.builds(HostRequest, name, st.text(max_size=3), st.from_type(Request)),
        st.from_type(SendFailed),
        st.from_type(Started),
        st.from_type(ShellAlarm),
        st.builds(SiteChanged, st.just(encode_site(busy.site)) | name, st.booleans()),
        st.just(Tick()),
    )
    st.register_type_strategy(str, st.text())
    st.register_type_strategy(int, st.integers())


@pytest.fixture
def again(busy: Hall) -> Callable[[], Kernel]:
    """The busy kernel as it was."""
    kernel, snapshot = Kernel(busy.site), busy.kernel.snapshot()

    def restored() -> Kernel:
        kernel.state = codec.decode_state(snapshot)
        return kernel

    return restored


RELAXED = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=300)


@RELAXED
@given(data=st.data())
def test_any_inputs_leave_a_kernel_that_can_be_kept_and_restored(
    busy: Hall, bodies: st.SearchStrategy[Any], again: Callable[[], Kernel], data: st.DataObject
) -> None:
    kernel, now_ns = again(), BEGIN_NS + busy.now_ns
    several = data.draw(st.lists(bodies, min_size=1, max_size=4))
    for seq, body in enumerate(several, 1):
        now_ns += data.draw(st.sampled_from([0, -(10**15), 10**9, 10**11]))
        kernel.apply(Input(seq, now_ns, body))
        kernel.next_deadline_ns()
    snapshot = kernel.snapshot()
    assert codec.encode_state(codec.decode_state(snapshot)) == snapshot


@RELAXED
@given(
    trip=st.integers(0, 5), node=st.integers(0, 30), seq=NUMBERS, update=NUMBERS, status=st.sampled_from(STATUSES),
    path=st.lists(st.builds(PathState, st.sampled_from(["T1", "?"]), NUMBERS, st.booleans()), max_size=2),
)  # fmt: skip
def test_any_state_of_a_vehicle_under_way_is_taken(
    busy: Hall, again: Callable[[], Kernel], trip: int, node: int, seq: int, update: int, status: str,
    path: list[PathState],
) -> None:  # fmt: skip
    kernel = again()
    known = list(kernel.state.trips.values())[trip % len(kernel.state.trips)]
    report = msgspec.structs.replace(
        busy.wire.report(known.vehicle),
        drive_id=known.drive_id,
        update_id=update,
        last_node=known.nodes[node % len(known.nodes)],
        last_sequence_id=seq,
        path=tuple(path),
        actions=(ActionState(known.pick_id, status), ActionState(known.drop_id, status)),
    )
    kernel.apply(Input(1, BEGIN_NS + busy.now_ns, Report(known.vehicle, report)))
    kernel.apply(Input(2, BEGIN_NS + busy.now_ns + 10**10, Tick()))
    kernel.snapshot()


@given(at_ns=I64)
@RELAXED
def test_time_never_goes_back(again: Callable[[], Kernel], at_ns: int) -> None:
    kernel = again()
    before = kernel.state.now_ns
    kernel.apply(Input(1, at_ns, Tick()))
    assert kernel.state.now_ns == max(before, at_ns)
    assert kernel.next_deadline_ns() > kernel.state.now_ns


@pytest.mark.parametrize("body", [None, 7, "text", b"bytes", object(), StepRequest("a", "move", "b", "c")])
def test_what_is_no_input_at_all_is_noted(again: Callable[[], Kernel], body: object) -> None:
    kernel = again()
    effects = kernel.apply(Input(1, BEGIN_NS, body))
    assert ("unknown input", type(body).__name__) in [
        (getattr(e, "event", ""), getattr(e, "detail", "")) for e in effects
    ]


def test_a_report_for_another_kind_of_device_changes_nothing(busy: Hall, again: Callable[[], Kernel]) -> None:
    kernel = again()
    kernel.apply(Input(1, BEGIN_NS + busy.now_ns, Tick()))
    before = codec.decode_state(kernel.snapshot())
    for device, source in (("C1", "S1"), ("S1", "RC1"), ("AGV1", "C1"), ("WS1", "C1"), ("nobody", "S1")):
        effects = kernel.apply(Input(1, BEGIN_NS + busy.now_ns, Report(device, busy.wire.report(source))))
        assert "report does not fit" in [getattr(e, "event", "") for e in effects]
    assert codec.decode_state(kernel.snapshot()) == before


def test_a_request_of_no_known_kind_is_not_accepted(again: Callable[[], Kernel]) -> None:
    kernel = again()
    effects = kernel.apply(Input(1, BEGIN_NS, HostRequest("wms", "odd-1", None)))  # type: ignore[arg-type]
    assert [e.accepted for e in effects if hasattr(e, "accepted")] == [False]


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (Notice("C9", SorterEvent("scan", 1), 5), "notice does not fit"),
        (Notice("C1", AgvFactsheet("S7", (), 1500, 1200, 800)), "notice does not fit"),
        (LinkChanged("C9", "up", "connected"), "link of an unknown device"),
    ],
)
def test_what_a_device_that_is_not_configured_says_is_noted(
    busy: Hall, again: Callable[[], Kernel], body: Any, event: str
) -> None:
    kernel = again()
    kernel.apply(Input(1, BEGIN_NS + busy.now_ns, Tick()))
    before = codec.decode_state(kernel.snapshot())
    effects = kernel.apply(Input(1, BEGIN_NS + busy.now_ns, body))
    assert event in [getattr(e, "event", "") for e in effects]
    after = codec.decode_state(kernel.snapshot())
    assert (after.conveyors, after.sorters, after.agvs, after.alarms) == (
        before.conveyors,
        before.sorters,
        before.agvs,
        before.alarms,
    )
