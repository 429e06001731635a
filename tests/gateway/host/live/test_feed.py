"""Snapshot and diffs say the same as a snapshot that is taken later, whatever has happened, and from any point on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract import (
    AcceptWork,
    AcknowledgeAlarm,
    AnnounceLoad,
    CallHelp,
    CancelOrder,
    ChangeOrder,
    CreateOrder,
    HoldDevice,
    HoldOrder,
    HostRequest,
    LinkChanged,
    LinkFigures,
    RemoveLoad,
    Report,
    SetMode,
    ShellAlarm,
    ShelveAlarm,
    SignOff,
    SignOn,
    StepRequest,
    Tick,
)
from gateway.devices.agv import AgvReport, PathState
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.devices.sorter import Lane, SorterReport
from gateway.host.live import MAPS, flow
from gateway.host.live.board import Board
from gateway.host.live.feed import Feed
from gateway.host.live.topics import UNASKED, Topic
from gateway.host.live.views import LaneView

EVERY: frozenset[Topic] = frozenset(MAPS)
LOADS = [f"T{n}" for n in range(3)]
ORDERS = [f"O{n}" for n in range(4)]
PLACES = ["RACK-1", "RACK-2", "WS1-BENCH", "C1-IN", "LANE-1"]
loads, orders, agvs = st.sampled_from(LOADS), st.sampled_from(ORDERS), st.sampled_from(["AGV1", "AGV2"])

requests = st.one_of(
    st.builds(AnnounceLoad, loads, st.sampled_from(PLACES)),
    st.builds(RemoveLoad, loads),
    st.builds(
        lambda order, load, to, kind: CreateOrder(order, (StepRequest("a", kind, load, to, skill="pick"),)),
        orders, loads, st.sampled_from([*PLACES, "WS1"]), st.sampled_from(["move", "work"]),
    ),
    st.builds(CancelOrder, orders),
    st.builds(HoldOrder, orders, st.booleans(), st.just("counting")),
    st.builds(ChangeOrder, orders, st.integers(1, 5)),
    st.builds(SignOn, st.sampled_from(["anna", "ben"]), st.sampled_from(["WS1", "WS2"])),
    st.builds(SignOff, st.sampled_from(["anna", "ben"])),
    st.builds(SetMode, agvs, st.sampled_from(["automatic", "manual"])),
    st.builds(HoldDevice, st.sampled_from(["C1", "S1", "AGV1"]), st.booleans()),
    st.builds(lambda order: AcceptWork(f"{order}/a", "anna"), orders),
    st.builds(CallHelp, st.sampled_from(["anna", "ben"])),
    st.builds(AcknowledgeAlarm, st.sampled_from(["AGV1/link", "C1/link", "x/y"])),
    st.builds(ShelveAlarm, st.just("C1/link"), st.just(1_790_000_100_000_000_000)),
)  # fmt: skip
zone = st.builds(Zone, st.booleans(), jam_at_sensor=st.booleans(), track_id=st.integers(0, 6))
lane = st.builds(Lane, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9))
nodes = st.sampled_from(["T1", "T2", "T3", "B1"])
asks = requests.map(lambda request: ("ask", request))
bodies = st.one_of(
    *[asks] * 6,
    st.builds(LinkChanged, st.sampled_from(["AGV1", "C1", "S1"]), st.sampled_from(["up", "down"]), st.just("so")),
    st.builds(ConveyorReport, st.just(1), st.just(Echo()), st.just(6), st.just(1), st.tuples(*[zone] * 12)).map(
        lambda data: Report("C1", data)
    ),
    st.builds(SorterReport, st.just(1), st.just(Echo()), st.just(6), st.just(1), st.tuples(*[lane] * 9)).map(
        lambda data: Report("S1", data)
    ),
    st.builds(
        lambda node, battery, ahead: AgvReport(
            "", 0, node, 0, tuple(PathState(n, 2, True) for n in ahead), len(ahead), (), bool(ahead), False, False,
            "AUTOMATIC", battery, False, "NONE", False, (),
        ),
        nodes, st.integers(0, 1000), st.lists(nodes, max_size=2),
    ).map(lambda data: Report("AGV1", data)),
    st.builds(ShellAlarm, st.just("x"), st.just("y"), st.text(max_size=5), st.booleans()),
    st.just(Tick()),
    st.tuples(st.just("telemetry"), agvs, st.integers(-9, 9)),
    st.just("turn"),
    st.just("turn"),
)  # fmt: skip


def put(still: Any, feed: Feed, number: int, body: Any) -> None:
    match body:
        case "turn":
            feed.turn()
        case ("ask", request):
            still.put(HostRequest("wms", f"r{number}", request))
        case ("telemetry", device, place):
            still.telemetry[device] = {"x_mm": place, "y_mm": -place, "map": "hall"}
        case _:
            still.put(body)


def whole(feed: Feed, screen: Any, topics: frozenset[Topic] = EVERY) -> Any:
    """What a client sees that begins now."""
    snapshot = feed.snapshot(topics)
    for frame in snapshot.frames(topics):
        screen.take(frame)
    feed.give_back(snapshot)
    return screen


def catch_up(feed: Feed, screen: Any, topics: frozenset[Topic] = EVERY) -> None:
    for seq in range(screen.seq + 1, feed.ring.seq + 1):
        frame = feed.ring.frame(seq, topics)
        if frame:
            screen.take(frame)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happens=st.lists(bodies, max_size=40), later=st.lists(bodies, max_size=25))
def test_a_snapshot_and_its_diffs_are_a_later_snapshot(
    still: Callable[[], Any], screen: Callable[[], Any], happens: list[Any], later: list[Any]
) -> None:
    gateway = still()
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(EVERY)
    for number, body in enumerate(happens):
        put(gateway, feed, number, body)
    early = whole(feed, screen())
    places = [(early.seq, json.dumps(early.maps))]
    for number, body in enumerate(later, len(happens)):
        put(gateway, feed, number, body)
        catch_up(feed, early)
        places.append((early.seq, json.dumps(early.maps)))
    gateway.at_ns += 1_000_000_000  # what is told once a second is told
    feed.turn()
    catch_up(feed, early)
    fresh = Feed(gateway, gateway.now_ns)
    fresh.follow(EVERY)
    now = whole(fresh, screen())
    assert early.maps == now.maps
    # Whoever has left off at any of these points and comes back knows the same.
    for seq, known in places:
        back = screen()
        back.seq, back.maps = seq, json.loads(known)
        assert feed.ring.covers(seq)
        catch_up(feed, back)
        assert back.maps == now.maps


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happens=st.lists(bodies, max_size=40))
def test_what_is_looked_at_in_turn_is_seen_in_the_end(
    still: Callable[[], Any], screen: Callable[[], Any], happens: list[Any]
) -> None:
    """With many loads and orders each look is at some of those that stand still."""
    gateway = still()
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(EVERY)
    early = whole(feed, screen())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "LOADS_A_LOOK", 1)
        patch.setattr(flow, "ORDERS_A_LOOK", 1)
        for number, body in enumerate(happens):
            put(gateway, feed, number, body)
        gateway.at_ns += 1_000_000_000
        for _ in range(2 * (len(LOADS) + len(ORDERS))):
            feed.turn()
    catch_up(feed, early)
    fresh = Feed(gateway, gateway.now_ns)
    fresh.follow(EVERY)
    assert early.maps == whole(fresh, screen()).maps


def begun(gateway: Any, screen: Any, topics: frozenset[Topic] = UNASKED) -> tuple[Feed, Any]:
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(topics)
    return feed, whole(feed, screen(), topics)


def test_of_many_loads_those_that_move_are_seen_at_once_and_the_others_in_turn(
    still: Callable[[], Any], screen: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "LOADS_A_LOOK", 1)
    gateway = still()
    for number in range(20):
        gateway.put(HostRequest("wms", f"a{number}", AnnounceLoad(f"T{number}", "RACK-1")))
    gateway.put(HostRequest("wms", "lane", AnnounceLoad("T8", "LANE-1")))
    feed, seen = begun(gateway, screen)
    assert len(seen.maps["loads"]) == 20
    gateway.put(HostRequest("wms", "new", AnnounceLoad("NEW", "RACK-2")))
    gateway.put(HostRequest("wms", "gone", RemoveLoad("T5")))
    gateway.put(HostRequest("wms", "moved", AnnounceLoad("T8", "LANE-2")))
    gateway.put(HostRequest("wms", "corrected", AnnounceLoad("T9", "RACK-2")))
    feed.turn()
    catch_up(feed, seen, UNASKED)
    assert "T5" not in seen.maps["loads"]
    assert seen.maps["loads"]["NEW"]["location"] == "RACK-2"
    assert seen.maps["loads"]["T8"]["location"] == "LANE-2"
    for _ in range(25):
        feed.turn()
    catch_up(feed, seen, UNASKED)
    assert seen.maps["loads"]["T9"]["location"] == "RACK-2"


def test_the_first_look_is_at_all_orders_and_so_is_that_after_a_rest(
    still: Callable[[], Any], screen: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "ORDERS_A_LOOK", 1)
    gateway = still()
    gateway.put(HostRequest("wms", "a", AnnounceLoad("T1", "RACK-1")))
    for number in range(60):
        step = StepRequest("a", "move", "T1", "RACK-2")
        gateway.put(HostRequest("wms", f"o{number}", CreateOrder(f"O{number}", (step,))))
    feed, seen = begun(gateway, screen)
    assert len(seen.maps["orders"]) == 60
    feed.leave(UNASKED)
    for number in range(30, 60):
        gateway.put(HostRequest("wms", f"c{number}", CancelOrder(f"O{number}")))
    for number in range(25, 30):
        gateway.put(HostRequest("wms", f"p{number}", ChangeOrder(f"O{number}", priority=1)))
    feed.follow(UNASKED)
    feed.turn()
    catch_up(feed, seen, UNASKED)
    assert len(seen.maps["orders"]) == 30
    assert {seen.maps["orders"][f"O{number}"]["priority"] for number in range(25, 30)} == {1}


def test_an_order_that_waits_is_seen_at_once_when_it_is_told_of(
    still: Callable[[], Any], screen: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "ORDERS_A_LOOK", 1)
    gateway = still()
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(UNASKED)
    seen = whole(feed, screen(), UNASKED)
    for number in range(100):
        gateway.put(HostRequest("wms", f"a{number}", AnnounceLoad(f"T{number}", f"RACK-{number % 4 + 1}")))
        step = StepRequest("a", "move", "T0", "RACK-2")
        gateway.put(HostRequest("wms", f"o{number}", CreateOrder(f"O{number}", (step,))))
    feed.turn()
    gateway.put(HostRequest("wms", "c", HoldOrder("O99", True, "counting")))
    gateway.put(HostRequest("wms", "d", CancelOrder("O98")))
    feed.turn()
    catch_up(feed, seen, UNASKED)
    assert seen.maps["orders"]["O99"]["state"] == "interrupted"
    assert seen.maps["orders"]["O99"]["held"] == "counting"
    assert seen.maps["orders"]["O99"]["version"] == 2
    assert "O98" not in seen.maps["orders"]


def test_nothing_is_looked_at_while_nobody_follows_and_nothing_is_missed(
    still: Callable[[], Any], screen: Callable[[], Any]
) -> None:
    gateway = still()
    feed = Feed(gateway, gateway.now_ns)
    feed.turn()
    assert gateway.listeners == []
    feed.follow(EVERY)
    seen = whole(feed, screen())
    feed.leave(EVERY)
    assert gateway.listeners == []
    before = feed.ring.seq
    gateway.put(HostRequest("wms", "1", AnnounceLoad("T1", "RACK-1")))
    gateway.put(HostRequest("wms", "2", CreateOrder("O1", (StepRequest("a", "move", "T1", "RACK-2"),))))
    feed.turn()
    assert feed.ring.seq == before
    feed.follow(EVERY)
    feed.turn()
    catch_up(feed, seen)
    assert seen.maps["loads"]["T1"]["location"] == "RACK-1"
    assert seen.maps["orders"]["O1"]["step"] == "a"


def test_the_ring_is_bounded_by_count_and_by_size(still: Callable[[], Any]) -> None:
    gateway = still()
    feed = Feed(gateway, gateway.now_ns, diffs_max=5, characters_max=20_000)
    feed.follow(EVERY)
    first = feed.ring.seq
    for number in range(9):
        gateway.telemetry["AGV1"] = {"x_mm": number}
        feed.turn()
    assert feed.ring.seq == first + 9
    assert feed.ring.covers(first + 4)
    assert not feed.ring.covers(first + 3)
    assert not feed.ring.covers(first + 10)
    gateway.telemetry["AGV1"] = {"x_mm": 1, "map": "x" * 30_000}
    feed.turn()
    assert not feed.ring.covers(feed.ring.seq - 1)


def test_numbers_of_an_earlier_process_are_never_taken_for_those_of_this_one(still: Callable[[], Any]) -> None:
    gateway = still()
    earlier = Feed(gateway, gateway.now_ns)
    earlier.follow(UNASKED)
    for number in range(50):
        gateway.at_ns += 100_000_000
        gateway.telemetry["AGV1"] = {"x_mm": number}
        earlier.turn()
    later = Feed(gateway, gateway.now_ns)
    assert later.ring.seq > earlier.ring.seq
    assert not later.ring.covers(earlier.ring.seq)
    assert later.ring.seq < 2**53  # a whole number in a browser, too


def test_slow_clients_share_few_snapshots(still: Callable[[], Any]) -> None:
    gateway = still()
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(UNASKED)
    held = []
    for number in range(20):
        gateway.at_ns += 2_000_000_000
        gateway.telemetry["AGV1"] = {"x_mm": number}
        held.append(feed.snapshot(UNASKED))
    assert len(set(map(id, held))) == 4
    for snapshot in held:
        feed.give_back(snapshot)
    gateway.at_ns += 2_000_000_000
    assert feed.snapshot(UNASKED) not in held


def test_a_large_snapshot_comes_in_parts_that_belong_together(
    still: Callable[[], Any], screen: Callable[[], Any]
) -> None:
    gateway = still()
    gateway.put(HostRequest("wms", "a", AnnounceLoad("T1", "RACK-1")))
    for number in range(1_000):
        step = StepRequest("a", "move", "T1", "RACK-2")
        gateway.put(HostRequest("wms", f"o{number}", CreateOrder(f"O{number}", (step,))))
    feed = Feed(gateway, gateway.now_ns)
    feed.follow(UNASKED)
    frames = [json.loads(frame) for frame in feed.snapshot(UNASKED).frames(UNASKED)]
    assert len(frames) > 3
    assert [frame["begins"] for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert [frame["more"] for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert {frame["seq"] for frame in frames} == {feed.ring.seq}
    assert len(whole(feed, screen(), UNASKED).maps["orders"]) == gateway.kernel.state.open_orders() == 1_000


def test_ages_come_from_the_links_and_not_ten_times_a_second(still: Callable[[], Any]) -> None:
    gateway, asked = still(), []

    def figures() -> list[LinkFigures]:
        asked.append(gateway.at_ns)
        return [LinkFigures("AGV1", "vda5050", 1, 0, 0, 1, 1, (), 0.0, 250.0)]

    feed = Feed(gateway, gateway.now_ns, figures)
    feed.follow(UNASKED)
    seen = json.loads(next(iter(feed.snapshot(UNASKED).frames(UNASKED))))
    assert seen["ages"] == {"AGV1": gateway.at_ns // 1_000_000 - 250}
    for _ in range(15):
        gateway.at_ns += 100_000_000
        feed.turn()
    assert len(asked) == 2


def test_a_board_tells_only_what_is_otherwise() -> None:
    board = Board("lanes")
    board.show("S1.1", LaneView("open", 1))
    assert board.taken() == {"S1.1": LaneView("open", 1)}
    board.show("S1.1", LaneView("open", 1))
    assert board.taken() == {}
    board.show("S1.1", LaneView("open", 2))
    board.show("S1.1", LaneView("full", 2))
    assert board.taken() == {"S1.1": {"count": 2, "state": "full"}}
    board.show("S1.2", LaneView("open", 0))
    board.show("S1.2", LaneView("open", 5))
    board.keep({"S1.2"})
    assert board.taken() == {"S1.2": LaneView("open", 5), "S1.1": None}
