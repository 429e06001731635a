"""What screens see of each thing, after what the plant and people have said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.contract import AnnounceLoad, CreateOrder, HostRequest, LinkChanged, Report, SignOn, StepRequest, Tick
from gateway.devices.agv import AgvError, AgvReport
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.host.live import MAPS
from gateway.host.live.feed import Feed
from gateway.host.live.flow import priority_of


@pytest.fixture
def seen(screen: Callable[[], Any]) -> Callable[[Any], dict[str, Any]]:
    def look(gateway: Any) -> dict[str, Any]:
        feed, every = Feed(gateway, gateway.now_ns), frozenset(MAPS)
        feed.follow(every)
        found = screen()
        for frame in feed.snapshot(every).frames(every):
            found.take(frame)
        return dict(found.maps)

    return look


def agv_report(node: str, errors: tuple[AgvError, ...] = ()) -> AgvReport:
    return AgvReport(
        "", 0, node, 0, (), 0, (), False, False, False, "AUTOMATIC", 815, False, "NONE", False, errors, ()
    )  # fmt: skip


def ask(gateway: Any, number: int, request: object) -> None:
    gateway.put(HostRequest("wms", f"r{number}", request))


def test_a_conveyor_with_its_zones(still: Callable[[], Any], seen: Callable[[Any], Any]) -> None:
    gateway = still()
    ask(gateway, 1, AnnounceLoad("T1", "C1-IN"))
    track_id = gateway.kernel.state.loads["T1"].track_id
    gateway.put(LinkChanged("C1", "up", "connected"))
    zones = (Zone(True, track_id=track_id), Zone(True), Zone(True, jam_at_sensor=True), *[Zone()] * 9)
    gateway.put(Report("C1", ConveyorReport(1, Echo(), 6, 1, zones)))
    maps = seen(gateway)
    assert maps["zones"]["C1.1"] == {"state": "occupied", "occupied": True, "load": "T1"}
    assert maps["zones"]["C1.2"] == {"state": "occupied", "occupied": True, "load": ""}
    assert maps["zones"]["C1.3"] == {"state": "jammed", "occupied": True, "load": ""}
    shown = maps["devices"]["C1"]
    assert (shown["type"], shown["state"], shown["link"], shown["why"]) == ("conveyor", "Execute", "up", "")
    assert maps["devices"]["C2"]["why"].startswith("link is down")
    alarm = maps["alarms"]["C1/zone 3 jammed"]
    assert (alarm["priority"], alarm["first_out"], alarm["active"]) == ("high", True, True)


def test_a_vehicle_on_its_way(still: Callable[[], Any], seen: Callable[[Any], Any]) -> None:
    gateway = still()
    gateway.put(LinkChanged("AGV1", "up", "online"))
    gateway.put(Report("AGV1", agv_report("H1")))
    ask(gateway, 1, AnnounceLoad("T1", "RACK-1"))
    ask(
        gateway,
        2,
        CreateOrder("O1", (StepRequest("a", "move", "T1", "RACK-4"),), deadline_ns=1_790_000_500_000_000_000),
    )
    for _ in range(5):
        gateway.put(Tick())
    maps, trip = seen(gateway), gateway.kernel.state.trips["AGV1"]
    shown = maps["devices"]["AGV1"]
    assert (shown["node"], shown["battery_percent"], shown["why"]) == ("H1", 81, "")
    assert (shown["carries_for"], shown["load"], shown["dest"]) == ("T1", "", trip.dest)
    assert shown["base"] == trip.nodes[: trip.released]
    assert shown["base"][0] == "H1"
    assert shown["base"] + shown["horizon"] == trip.nodes
    assert maps["room"]["RACK-4"] == {"loads": ["T1"]}
    assert {name: entry["vehicles"] for name, entry in maps["passes"].items()} == {
        name: [vehicle for vehicle, _ in passing] for name, passing in gateway.kernel.state.passes.items()
    }
    line = maps["orders"]["O1"]
    assert (line["client"], line["steps"], line["done"], line["step"], line["load"]) == ("wms", 1, 0, "a", "T1")
    assert line["deadline_ms"] == 1_790_000_500_000
    assert line["why"] == gateway.kernel.state.tasks["O1/a"].reason != ""
    assert maps["loads"]["T1"]["order"] == "O1"


def test_a_vehicle_with_a_fault(still: Callable[[], Any], seen: Callable[[Any], Any]) -> None:
    gateway = still()
    gateway.put(LinkChanged("AGV1", "up", "online"))
    gateway.put(Report("AGV1", agv_report("H1", (AgvError("bumper", "FATAL", "hit"),))))
    shown = seen(gateway)["devices"]["AGV1"]
    assert shown["errors"] == ["bumper (FATAL): hit"]
    assert shown["why"] == "vehicle has a fault: bumper (FATAL): hit"
    assert (shown["base"], shown["horizon"], shown["waits_since_ms"]) == ([], [], 0)


def test_a_person_at_work(still: Callable[[], Any], seen: Callable[[Any], Any]) -> None:
    gateway = still()
    ask(gateway, 1, AnnounceLoad("T1", "WS1-BENCH"))
    ask(gateway, 2, SignOn("anna", "WS1"))
    ask(gateway, 3, CreateOrder("O1", (StepRequest("p", "work", "T1", "WS1", skill="pick"),)))
    for _ in range(3):
        gateway.put(Tick())
    maps = seen(gateway)
    assert maps["people"]["anna"] == {
        "station": "WS1", "task": "O1/p", "order": "O1", "load": "T1", "skill": "pick", "recipe": "",
        "started_ms": gateway.kernel.state.tasks["O1/p"].started_ns // 1_000_000, "accepted_ms": 0,
    }  # fmt: skip
    assert (maps["devices"]["WS1"]["person"], maps["devices"]["WS1"]["task"]) == ("anna", "O1/p")
    assert maps["orders"]["O1"]["person"] == "anna"


def test_nothing_of_the_connections_is_told(still: Callable[[], Any], seen: Callable[[Any], Any]) -> None:
    plan = json.dumps(seen(still())["site"])
    assert "connection" not in plan
    assert "127.0.0.1" not in plan
    assert "5021" not in plan


@pytest.mark.parametrize(
    ("code", "priority"),
    [("zone 3 jammed", "high"), ("lost T1", "high"), ("help anna", "high"), ("link", "medium"), ("waits long", "low")],
)
def test_priorities(code: str, priority: str) -> None:
    assert priority_of(code) == priority
