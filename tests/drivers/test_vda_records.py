"""VDA 5050 messages of each version to records, and the factsheet's limits: what the fleet test does not reach."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from drivers.vda5050 import decode
from drivers.vda5050.limits import Limits
from drivers.vda5050.version import ForeignVersionError, Version
from gateway.devices.agv import Agv, Drive, DriveAction, DriveEdge, DriveNode, Instant, classify, observe
from gateway.devices.facts import OrderRejected

V20, V21, V30 = (Version.of(text) for text in ("2.0.0", "2.1.0", "3.0.0"))
BOTH: dict[str, Any] = {
    "serialNumber": "s", "orderId": "D1", "orderUpdateId": 0, "lastNodeId": "N1", "lastNodeSequenceId": 0,
    "nodeStates": [], "edgeStates": [], "driving": False, "operatingMode": "AUTOMATIC", "actionStates": [],
    "errors": [],
}  # fmt: skip
OLD = {
    **BOTH,
    "version": "2.1.0",
    "batteryState": {"batteryCharge": 50.0, "charging": False},
    "safetyState": {"eStop": "AUTOACK", "fieldViolation": False},
}
NEW = {
    **BOTH,
    "version": "3.0.0",
    "powerSupply": {"stateOfCharge": 50.0, "charging": True},
    "safetyState": {"activeEmergencyStop": "REMOTE", "fieldViolation": False},
    "instantActionStates": [],
}


def report(body: dict[str, Any], version: Version = V30) -> Any:
    return decode.state(json.dumps(body).encode(), "s", version)[0]


def test_both_spellings_become_one_record():
    assert (report(OLD, V20).e_stop, report(OLD, V21).e_stop, report(NEW).e_stop) == ("AUTOACK", "AUTOACK", "REMOTE")
    assert report(OLD, V21).battery_permille == report(NEW).battery_permille == 500
    assert [report(NEW).charging, report(OLD, V21).charging] == [True, False]
    position = {"x": 1.0, "y": 2.0, "theta": 0.0, "mapId": "m"}
    assert not report({**NEW, "mobileRobotPosition": {**position, "localized": False}}).localised
    assert not report({**OLD, "agvPosition": {**position, "positionInitialized": False}}, V21).localised


@pytest.mark.parametrize(("body", "version"), [(OLD, V21), (NEW, V30)])
def test_a_state_that_only_moves_has_the_report_of_the_last_one(body, version):
    field, known = ("agvPosition", "positionInitialized") if version is V21 else ("mobileRobotPosition", "localized")
    states = decode.States("s", version)

    def read(**changes: Any) -> tuple[Any, dict[str, Any]]:
        x_m = changes.pop("x_m", 0.0)
        position = {"x": x_m, "y": 0.0, "theta": 0.0, "mapId": "m", known: changes.pop("known", True)}
        message = {**body, field: position, "velocity": {"vx": x_m}, **changes}
        report, values, _ = states.read(json.dumps(message).encode())
        return report, values

    first, _ = read()
    moved, values = read(x_m=2.0)
    assert moved is first
    assert (values["x_mm"], values["speed_mm_s"]) == (2000, 2000)
    for changes in ({"lastNodeId": "N2"}, {"known": False}, {"loads": [{"loadId": "L"}]}, {"paused": True}):
        changed, _ = read(**changes)
        assert changed != first
        assert read()[0] == first


@pytest.mark.parametrize(
    ("body", "version", "lacks"),
    [
        ({**OLD, "version": "3.0.0"}, V30, "powerSupply"),
        ({**NEW, "version": "2.1.0"}, V21, "batteryState"),
        ({**NEW, "safetyState": OLD["safetyState"]}, V30, "activeEmergencyStop"),
        ({**OLD, "safetyState": NEW["safetyState"]}, V21, "eStop"),
        ({k: v for k, v in NEW.items() if k != "instantActionStates"}, V30, "instantActionStates"),
        ({k: v for k, v in NEW.items() if k != "powerSupply"}, V30, "powerSupply"),
        ({k: v for k, v in OLD.items() if k != "batteryState"}, V20, "batteryState"),
        ({**NEW, "powerSupply": {"stateOfCharge": 101.0, "charging": True}}, V30, "stateOfCharge is 101"),
    ],
)
def test_what_a_version_demands_is_missed_by_its_own_name(body, version, lacks):
    with pytest.raises(msgspec.ValidationError, match=lacks):
        report(body, version)


@pytest.mark.parametrize("kind", ["state", "connection", "visualization", "factsheet"])
def test_no_message_of_another_major_version_is_read(kind):
    payload = json.dumps({"version": "3.0.0", "serialNumber": "s"}).encode()
    arguments = (payload, V21) if kind == "visualization" else (payload, "s", V21)
    with pytest.raises(ForeignVersionError, match=r"speaks VDA 5050 3\.0\.0, its profile says 2\.1\.0"):
        getattr(decode, kind)(*arguments)


def test_modes_actions_and_errors_of_3_in_our_words():
    assert report({**NEW, "operatingMode": "TEACH_IN"}).operating_mode == "TEACHIN"
    for mode in ("STARTUP", "INTERVENED", "TEACH_IN"):
        assert classify(report({**NEW, "operatingMode": mode})) == "manual"
    body = {
        **NEW,
        "safetyState": {"activeEmergencyStop": "NONE", "fieldViolation": False},
        "actionStates": [{"actionId": "a", "actionStatus": "RETRIABLE", "actionResult": "slipped"}],
        "instantActionStates": [{"actionId": "i", "actionStatus": "FINISHED"}],
        "errors": [
            {"errorType": "UNSUPPORTED_PARAMETER", "errorLevel": "CRITICAL"},
            {"errorType": "LOCALIZATION_ERROR", "errorLevel": "URGENT"},
        ],
    }
    found = report(body)
    assert [(a.action_id, a.status, a.result) for a in found.actions] == [
        ("a", "RETRIABLE", "slipped"), ("i", "FINISHED", ""),
    ]  # fmt: skip
    agv = Agv(device="AGV1")
    facts = observe(agv, found)
    assert [fact.error for fact in facts if isinstance(fact, OrderRejected)] == ["orderError (CRITICAL)"]
    assert agv.state == "waiting"
    stopped = {**body, "errors": [{"errorType": "OUTSIDE_OF_CORRIDOR", "errorLevel": "CRITICAL"}]}
    assert classify(report(stopped)) == "faulted"


@pytest.mark.parametrize(("word", "means"), [("CONNECTION_BROKEN", "CONNECTIONBROKEN"), ("HIBERNATING", "HIBERNATING")])
def test_connection_words_of_3(word, means):
    payload = json.dumps({"version": "3.0.0", "serialNumber": "s", "connectionState": word}).encode()
    assert decode.connection(payload, "s", V30) == means


@pytest.mark.parametrize("text", ["1.1.0", "2.2.0", "4.0.0", "three", ""])
def test_a_version_that_is_not_spoken_is_refused(text):
    with pytest.raises(ValueError, match=r"the profile can ask for 2\.0, 2\.1, 3\.0"):
        Version.of(text)


def sheet(version: Version, strings: dict[str, Any], arrays: dict[str, int], actions: list[dict[str, Any]]) -> Limits:
    is_3 = version.is_3
    body = {
        "serialNumber": "s", "version": version.text, "typeSpecification": {"seriesName": "T"},
        "physicalParameters": {"maximumSpeed" if is_3 else "speedMax": 1.0, "width": 1.0, "length": 1.0},
        "protocolFeatures": {"mobileRobotActions" if is_3 else "agvActions": actions},
        "protocolLimits": {
            "maximumStringLengths" if is_3 else "maxStringLens": strings,
            "maximumArrayLengths" if is_3 else "maxArrayLens": arrays,
        },
    }  # fmt: skip
    return decode.factsheet(json.dumps(body).encode(), "s", version)[1]


PICK = DriveAction("4", "pick", {"loadId": "LOAD-1", "side": None})
NODES = (DriveNode("2", 0, True, 0, 0), DriveNode("3", 2, True, 0, 0, (PICK, PICK)))
DRIVE = Drive("1", 0, "m", NODES, (DriveEdge("5", 1, True, "2", "3", 1),))


@pytest.mark.parametrize(
    ("strings", "arrays", "problem"),
    [
        ({"msgLen": 10}, {}, "the message has 100 bytes, its factsheet allows 10"),
        ({"idLen": 3, "idNumericalOnly": True}, {}, None),
        ({"loadIdLen": 5}, {}, "loadId 'LOAD-1' has 6 characters, its factsheet allows 5"),
        ({}, {"order.nodes": 1}, "order.nodes has 2 entries, its factsheet allows 1"),
        ({}, {"order.edges": 1, "node.actions": 1}, "node.actions of 3 has 2 entries, its factsheet allows 1"),
        ({}, {"actions.actionsParameters": 1}, None),
        ({"msgLen": 0, "loadIdLen": 0}, {"order.nodes": 0}, None),
    ],
)
def test_limits_in_both_spellings(strings, arrays, problem):
    names = {"msgLen": "maximumMessageLength", "idLen": "maximumIdLength", "loadIdLen": "maximumLoadIdLength"}
    actions = [{"actionType": "pick", "actionScopes": ["NODE"]}]
    for version in (V20, V21, V30):
        spelt = {names.get(k, k): v for k, v in strings.items()} if version.is_3 else strings
        found = sheet(version, spelt, arrays, actions).problem(DRIVE, b"x" * 100, version)
        assert found is None if problem is None else str(found).startswith(problem)


def test_actions_by_scope_and_stopping_is_never_refused():
    limits = sheet(V21, {}, {}, [{"actionType": "pick", "actionScopes": ["INSTANT"]}])
    assert "action pick is not among those that its factsheet lists at nodes" in str(limits.problem(DRIVE, b"", V21))
    assert "startCharging" in str(limits.problem(Instant("i", "startCharging"), b"", V21))
    for kind in ("cancelOrder", "startPause", "stopPause"):
        assert limits.problem(Instant("i", kind), b"", V21) is None
    assert sheet(V21, {}, {}, []).problem(DRIVE, b"", V21) is None
    numeric = Limits(ids_numeric=True, id_chars_max=2)
    assert str(numeric.problem(Instant("i1", "cancelOrder"), b"", V21)).startswith("actionId 'i1' is not a number")
    assert str(numeric.problem(Instant("123", "cancelOrder"), b"", V21)).startswith("actionId '123' has 3 characters")
