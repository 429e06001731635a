"""Answers to the requests of 3.0 vehicles, what they leave alone, and our 3.0 messages against the official schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.vda5050 import decode, leases
from drivers.vda5050.encode import KEPT_MAX, Sender
from drivers.vda5050.leases import EDGES_MAX, EXTEND_NS, LEASE_S, REPEAT_NS, REQUESTS_MAX, Leases
from drivers.vda5050.version import Version
from gateway.devices.agv import Drive, DriveEdge, DriveNode, Instant

NOW = "2026-01-02T03:04:05.678Z"
SECOND_NS = 1_000_000_000
SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "vda5050" / "3.0.0"
EDGES = (("A-B", 1), ("B-C", 3), ("C-D", 5))


def drive(released: int, update_id: int = 0, drive_id: str = "D1", first: int = 0) -> Drive:
    """The edges from `first` on; those before `released` belong to the base."""
    edges = tuple(DriveEdge(e, n, n < 2 * released, e[0], e[2], 1000) for e, n in EDGES[first:])
    nodes = tuple(DriveNode("N", 2 * n, n <= released, 0, 0) for n in range(first, 4))
    return Drive(drive_id, update_id, "hall", nodes, edges)


def state(*asked: tuple[str, int, str], order_id: str = "D1", left: int = 0, zones: int = 0, shown: int = 3) -> Any:
    """A decoded state in which `left` edges lie behind, and the first `shown` ones are shown as released."""
    body = {
        "serialNumber": "s", "version": "3.0.0", "orderId": order_id, "orderUpdateId": 0, "lastNodeId": "N",
        "lastNodeSequenceId": 2 * left, "nodeStates": [], "driving": True, "operatingMode": "AUTOMATIC",
        "actionStates": [], "instantActionStates": [], "errors": [],
        "powerSupply": {"stateOfCharge": 50.0, "charging": False},
        "safetyState": {"activeEmergencyStop": "NONE", "fieldViolation": False},
        "edgeStates": [{"edgeId": e, "sequenceId": n, "released": n < 2 * shown} for e, n in EDGES[left:]],
        "edgeRequests": [
            {"requestId": f"r{n}", "requestType": "CORRIDOR", "edgeId": edge, "sequenceId": n, "requestStatus": status}
            for edge, n, status in asked
        ],
        "zoneRequests": [
            {"requestId": f"z{n}", "requestType": "ACCESS", "zoneId": "Z", "zoneSetId": "S", "requestStatus": status}
            for n, status in enumerate(("REQUESTED", "GRANTED", "EXPIRED")[:zones])
        ],
    }  # fmt: skip
    return decode.States("s", Version.of("3.0.0")).read(json.dumps(body).encode())[2]


def after(*drives: Drive) -> Leases:
    found = Leases()
    for one in drives:
        found.released(one)
    return found


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("A-B", 1, "REQUESTED"), "GRANTED"),
        (("A-B", 1, "QUEUED"), "GRANTED"),
        (("B-C", 3, "REQUESTED"), "QUEUED"),
        (("A-B", 7, "REQUESTED"), "REJECTED"),
        (("X-Y", 1, "REQUESTED"), "REJECTED"),
        (("B-C", 3, "GRANTED"), "REVOKED"),
        (("X-Y", 9, "GRANTED"), "REVOKED"),
        (("A-B", 1, "EXPIRED"), None),
        (("A-B", 1, "REVOKED"), None),
        (("X-Y", 1, "REJECTED"), None),
    ],
)
def test_only_the_released_base_is_granted(asked, answer):
    found = after(drive(1)).answers(state(asked), 0)
    assert found == (() if answer is None else ((f"r{asked[1]}", answer),))


def test_a_base_grows_with_updates_and_ends_with_its_order():
    ours = after(drive(1), drive(3, 1, first=1))
    assert dict(ours.answers(state(("A-B", 1, "REQUESTED"), ("C-D", 5, "REQUESTED")), 0)) == {
        "r1": "GRANTED", "r5": "GRANTED",
    }  # fmt: skip
    ours.released(drive(1, drive_id="D2"))
    # The vehicle has not taken the new order yet, so that its state is about the old one.
    assert ours.answers(state(("C-D", 5, "REQUESTED")), 9 * SECOND_NS) == (("r5", "REJECTED"),)


def test_after_a_restart_what_the_vehicle_shows_as_released_counts():
    ours = Leases()
    assert ours.answers(state(("A-B", 1, "GRANTED"), ("B-C", 3, "REQUESTED"), shown=1), 0) == (
        ("r1", "GRANTED"),
        ("r3", "QUEUED"),
    )


def test_after_a_restart_an_update_takes_nothing_back_that_was_released_before_it():
    ours = after(drive(3, 4, first=1))
    held = state(("A-B", 1, "GRANTED"), ("B-C", 3, "REQUESTED"))
    assert dict(ours.answers(held, 0)) == {"r1": "GRANTED", "r3": "GRANTED"}
    assert after(drive(3, 0, first=1)).answers(state(("A-B", 1, "GRANTED")), 0) == (("r1", "REVOKED"),)


def test_an_edge_left_behind_keeps_its_lease_until_it_ends():
    assert after(drive(3)).answers(state(("A-B", 1, "GRANTED"), left=1), 0) == ()
    assert after(drive(3)).answers(state(("A-B", 1, "REQUESTED"), left=1), 0) == (("r1", "REJECTED"),)


def test_zones_are_never_ours_to_give():
    assert after(drive(3)).answers(state(zones=3), 0) == (("z0", "REJECTED"), ("z1", "REVOKED"))


def test_an_answer_is_repeated_while_the_request_stands_and_a_lease_extended_before_it_ends():
    ours = after(drive(1))
    asked = state(("A-B", 1, "REQUESTED"))
    assert [ours.answers(asked, at) for at in (0, REPEAT_NS - 1, REPEAT_NS)] == [
        (("r1", "GRANTED"),),
        (),
        (("r1", "GRANTED"),),
    ]
    held = state(("A-B", 1, "GRANTED"))
    ends_ns = REPEAT_NS + LEASE_S * SECOND_NS
    assert ours.answers(held, ends_ns - EXTEND_NS - 1) == ()
    assert ours.answers(held, ends_ns - EXTEND_NS) == (("r1", "GRANTED"),)
    assert ours.answers(held, ends_ns - EXTEND_NS + 1) == ()


def test_nothing_grows_without_bound():
    ours = Leases()
    many = tuple(DriveEdge(f"E{n}", 2 * n + 1, True, "A", "B", 1) for n in range(EDGES_MAX + 5))
    ours.released(Drive("D1", 0, "hall", (), many))
    assert len(ours._base) == EDGES_MAX
    asked = [("A-B", n, "REQUESTED") for n in range(REQUESTS_MAX + 9)]
    assert len(ours.answers(state(*asked, zones=3), 0)) == len(ours._answered) == REQUESTS_MAX
    assert ours.answers(state(), 1) == ()
    assert not ours._answered


@given(
    st.lists(
        st.tuples(st.sampled_from(EDGES), st.sampled_from(["REQUESTED", "QUEUED", "GRANTED", "REVOKED", "EXPIRED"])),
        max_size=4,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_whatever_is_asked_nothing_beyond_the_base_is_granted(asked, released, left):
    ours = after(drive(released))
    found = ours.answers(state(*((edge, n, status) for (edge, n), status in asked), left=left), 0)
    for request_id, grant in found:
        if grant == "GRANTED":
            assert left * 2 < int(request_id[1:]) < 2 * released


# --- on the wire ---


def sender() -> Sender:
    return Sender(Version.of("3.0.0"), "stellwerk", "s")


def schema(kind: str) -> Any:
    if not SCHEMAS.is_dir():
        pytest.skip(f"no official VDA 5050 schemas at {SCHEMAS}")
    body = json.loads((SCHEMAS / f"{kind}.schema").read_text("utf-8"))
    return jsonschema.Draft202012Validator(body, format_checker=jsonschema.FormatChecker())


def test_responses_are_valid_by_the_official_schema():
    every = tuple((kind, kind) for kind in ("GRANTED", "QUEUED", "REVOKED", "REJECTED"))
    body = json.loads(sender().responses(leases.messages(every, NOW), NOW))
    schema("responses").validate(body)
    assert [set(answer) for answer in body["responses"]] == [{"requestId", "grantType", "leaseExpiry"}] + [
        {"requestId", "grantType"}
    ] * 3


@pytest.mark.parametrize("kind", ["retry", "skipRetry", "clearInstantActions", "clearZoneActions", "enableMap"])
def test_instant_actions_of_3_go_out_as_they_are_named_and_block_nothing(kind):
    parameters = {"actionId": "a1"} if "etry" in kind else {}
    body = json.loads(sender().instant_actions(Instant("i", kind, parameters), NOW))
    schema("instantActions").validate(body)
    (action,) = body["actions"]
    assert (action["actionType"], action["blockingType"]) == (kind, "NONE")
    assert action["actionParameters"] == [{"key": k, "value": v} for k, v in parameters.items()]


def test_no_more_messages_are_kept_than_the_bound():
    ours = sender()
    first = ours.order(drive(1), NOW)
    assert ours.order(drive(1), "later") == first
    for n in range(KEPT_MAX):
        ours.instant_actions(Instant(f"i{n}", "startPause"), NOW)
    assert len(ours._kept) == KEPT_MAX
    assert ours.order(drive(1), "later") != first


@pytest.mark.parametrize(
    ("field", "value", "lacks"),
    [
        ("maps", [{"mapId": "m", "mapStatus": "SOMETIMES"}], "SOMETIMES"),
        ("edgeRequests", [{"requestId": "r"}], "edgeId"),
        ("zoneRequests", [{"requestId": "z", "zoneId": "Z", "zoneSetId": "S", "requestStatus": "PERHAPS"}], "PERHAPS"),
    ],
)
def test_a_malformed_map_or_request_is_told(field, value, lacks):
    body = msgspec.to_builtins(state())
    wrong = {**{key: shown for key, shown in body.items() if shown is not None}, field: value}
    with pytest.raises(msgspec.ValidationError, match=lacks):
        decode.state(json.dumps(wrong).encode(), "s", Version.of("3.0.0"))
