"""Loads, places, devices, commands, alarms, people and their work, sort plans, figures."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from gateway.contract import CreateOrder, ShellAlarm, StepRequest
from gateway.devices.conveyor import ResetZone
from gateway.dispatch.state import Entry
from gateway.host.api import build

PLAN = {"id": "sunday", "destinations": {"BERLIN": {"sorter": "S1", "lanes": [3]}}}


async def test_loads_are_announced_found_and_removed(house: Any) -> None:
    client = house.client("operator")
    body = {"location": "RACK-1", "barcodes": ["(00)123"]}
    for name in ("L1", "with/a slash and ü"):
        path = f"/api/v1/loads/{quote(name, safe='')}"
        answer = await client.put(path, json=body if name == "L1" else {"location": "RACK-1"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["location"] == path
        assert (await client.get(path)).json()["location"] == "RACK-1"
    found = (await client.get("/api/v1/loads", params={"text": "(00)"})).json()["loads"]
    assert [load["load"] for load in found] == ["L1"]
    page = (await client.get("/api/v1/loads", params={"limit": 1, "location": "RACK-1"})).json()
    assert [load["load"] for load in page["loads"]] == ["L1"]
    rest = (await client.get("/api/v1/loads", params={"cursor": page["next"]})).json()
    assert [load["load"] for load in rest["loads"]] == ["with/a slash and ü"]
    rack = (await client.get("/api/v1/locations/RACK-1")).json()
    assert (rack["capacity"], rack["free"], rack["loads"]) == (40, 38, ["L1", "with/a slash and ü"])
    etag = (await client.get("/api/v1/loads/L1")).headers["etag"]
    moved = await client.put("/api/v1/loads/L1", json={"location": "RACK-2"}, headers={"If-Match": etag})
    assert moved.status_code == 200
    stale = await client.delete("/api/v1/loads/L1", headers={"If-Match": etag})
    assert (stale.status_code, stale.json()["code"]) == (412, "version")
    gone = await client.delete("/api/v1/loads/L1", headers={"If-Match": stale.headers["etag"]})
    assert gone.status_code == 200
    assert (await client.get("/api/v1/loads/L1")).status_code == 404
    assert (await client.delete("/api/v1/loads/L1")).status_code == 404
    nowhere = await client.put("/api/v1/loads/L1", json={"location": "RACK-9"})
    assert (nowhere.status_code, nowhere.json()["code"]) == (422, "invalid")
    kinds = (await client.get("/api/v1/locations", params={"kind": "lane", "limit": 2})).json()
    assert [place["location"] for place in kinds["locations"]] == ["LANE-1", "LANE-2"]
    assert kinds["next"]


async def test_devices_are_switched_held_and_reset(house: Any) -> None:
    client = house.client("operator")
    house.runtime.inbox.telemetry("AGV1", {"x_mm": 12})
    agv = (await client.get("/api/v1/devices/AGV1")).json()
    assert (agv["type"], agv["mode"], agv["telemetry"]) == ("agv", "automatic", {"x_mm": 12})
    assert agv["reason"].startswith("link is down")
    assert (await client.post("/api/v1/devices/AGV1/mode", json={"mode": "maintenance"})).status_code == 200
    assert (await client.post("/api/v1/devices/AGV1/hold", json={"reason": "tyre"})).status_code == 200
    assert (await client.post("/api/v1/devices/AGV1/hold")).status_code == 409
    agv = (await client.get("/api/v1/devices/AGV1")).json()
    assert (agv["mode"], agv["held"]) == ("maintenance", "tyre")
    assert (await client.post("/api/v1/devices/AGV1/resume")).status_code == 200
    far = await client.post("/api/v1/devices/C1/reset", json={"zone": 2})
    assert (far.status_code, far.json()["code"]) == (409, "conflict")
    assert (await client.post("/api/v1/devices/C9/reset")).status_code == 404
    types = (await client.get("/api/v1/devices", params={"type": "conveyor"})).json()["devices"]
    assert [device["device"] for device in types] == ["C1", "C2"]
    entries = await house.access.audit.read(what="set_mode")
    assert entries[0].what == "set_mode AGV1 maintenance"


async def test_a_command_with_an_unknown_outcome_is_resolved_by_its_id_with_a_slash(house: Any) -> None:
    client = house.client("operator")
    house.runtime.kernel.state.ledger["C1/7"] = Entry("C1/7", "C1", 7, ResetZone(2), state="unknown")
    (shown,) = (await client.get("/api/v1/commands")).json()["commands"]
    assert (shown["command"], shown["kind"], shown["action"], shown["state"]) == (
        "C1/7", "reset_zone", {"zone": 2}, "unknown",
    )  # fmt: skip
    assert (await client.get("/api/v1/devices/C1")).json()["commands"] == ["C1/7"]
    for path in ("C1/8", "C1%2F8"):
        assert (await client.post(f"/api/v1/commands/{path}/resolve", json={"done": True})).status_code == 404
    answer = await client.post("/api/v1/commands/C1%2F7/resolve", json={"done": True, "reason": "looked"})
    assert (answer.status_code, answer.json()["id"]) == (200, "C1/7")
    assert house.runtime.kernel.state.ledger == {}
    (entry, *_) = await house.access.audit.read()
    assert (entry.what, entry.why) == ("resolve_command C1/7 done", "looked")


async def test_alarms_are_shelved_and_acknowledged(house: Any, wait: Any) -> None:
    client, state = house.client("operator"), house.runtime.kernel.state
    house.runtime.inbox.post(ShellAlarm("disk", "nearly full", "5 % are left", True))
    await wait(lambda: bool(state.alarms))
    (alarm,) = (await client.get("/api/v1/alarms")).json()["alarms"]
    assert (alarm["alarm"], alarm["active"]) == ("disk/nearly full", True)
    path = "/api/v1/alarms/disk/nearly%20full"
    far = await client.post(f"{path}/shelve", json={"until": "2200-01-01T00:00:00Z"})
    assert (far.status_code, far.json()["code"]) == (422, "invalid")
    until = (await client.get("/api/v1/about")).json()["now"].replace("Z", "+00:00")
    later = (datetime.fromisoformat(until) + timedelta(hours=1)).isoformat()
    assert (await client.post(f"{path}/shelve", json={"until": later, "reason": "ordered"})).status_code == 200
    assert (await client.get("/api/v1/alarms")).json()["alarms"] == []
    (off,) = (await client.get("/api/v1/alarms", params={"shelved": "only"})).json()["alarms"]
    assert off["shelved_why"] == "ordered"
    assert (await client.post(f"{path}/unshelve")).status_code == 200
    assert len((await client.get("/api/v1/alarms")).json()["alarms"]) == 1
    assert (await client.post(f"{path}/acknowledge")).status_code == 200
    assert (await client.get("/api/v1/alarms")).json()["alarms"][0]["acknowledged"] is True
    assert (await client.post("/api/v1/alarms/none/acknowledge")).status_code == 404


async def test_a_person_signs_on_takes_work_up_and_confirms_it(house: Any, wait: Any) -> None:
    client, state = house.client("operator"), house.runtime.kernel.state
    for n in range(4):
        await house.load(f"L{n}", "WS1-BENCH" if n < 2 else "WS2-BENCH")
        step = StepRequest("pick", "work", f"L{n}", "", "pick")
        assert (await house.runtime.ask("wms", f"w{n}", CreateOrder(f"O{n}", (step,)))).accepted
    waiting = (await client.get("/api/v1/work")).json()["work"]
    assert [(piece["work"], piece["state"]) for piece in waiting] == [(f"O{n}/pick", "waiting") for n in range(4)]
    assert (await client.post("/api/v1/workers/anna/sign-on", json={"station": "WS9"})).status_code == 404
    assert (await client.post("/api/v1/workers/anna/sign-on", json={"station": "WS1"})).status_code == 200
    await wait(lambda: state.tasks["O0/pick"].person == "anna")
    hers = (await client.get("/api/v1/work", params={"person": "anna"})).json()["work"]
    assert [(piece["work"], piece["state"]) for piece in hers] == [("O0/pick", "offered"), ("O1/pick", "waiting")]
    me = {"person": "anna"}
    assert (await client.post("/api/v1/work/O0/pick/accept", json=me)).status_code == 200
    assert (await client.get("/api/v1/work", params=me)).json()["work"][0]["state"] == "accepted"
    assert (await client.post("/api/v1/work/O0/pick/confirm", json={"person": "ben"})).status_code == 409
    assert (await client.post("/api/v1/work/O0%2Fpick/confirm", json=me)).status_code == 200
    await wait(lambda: state.tasks["O1/pick"].person == "anna")
    assert (await client.post("/api/v1/work/O1/pick/short", json={**me, "found": 2})).status_code == 200
    assert (await client.get("/api/v1/orders/O1")).json()["reason"] == "step pick: anna: short, found 2"
    help_ = await client.post("/api/v1/workers/anna/help", json={"text": "the scanner is dead"})
    assert help_.status_code == 200
    assert "the scanner is dead" in (await client.get("/api/v1/alarms")).text
    assert (await client.post("/api/v1/workers/anna/sign-off")).status_code == 200
    assert (await client.post("/api/v1/workers/ben/sign-on", json={"station": "WS2"})).status_code == 200
    await wait(lambda: state.tasks["O2/pick"].person == "ben")
    broken = await client.post("/api/v1/work/O2/pick/damaged", json={"person": "ben", "note": "wet"})
    assert broken.status_code == 200
    assert (await client.get("/api/v1/orders/O2")).json()["reason"] == "step pick: ben: damaged: wet"
    assert (await client.get("/api/v1/workers/ben")).json()["station"] == "WS2"
    assert (await client.get("/api/v1/work", params={"person": "zoe"})).status_code == 404


async def test_a_sort_plan_is_uploaded_put_in_force_and_taken_back(house: Any) -> None:
    client, state = house.client("engineer"), house.runtime.kernel.state
    assert (await client.post("/api/v1/sort-plans:validate", json=PLAN)).json() == {"valid": True, "problem": ""}
    bad = {**PLAN, "destinations": {"BERLIN": {"sorter": "S1", "lanes": [9]}}}
    verdict = (await client.post("/api/v1/sort-plans:validate", json=bad)).json()
    assert verdict["valid"] is False
    assert "lane 9 is the reject lane" in verdict["problem"]
    refused = await client.post("/api/v1/sort-plans", json=bad)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    key = {"Idempotency-Key": "up", "X-Reason": "sundays"}
    first = await client.post("/api/v1/sort-plans", json=PLAN, headers=key)
    again = await client.post("/api/v1/sort-plans", json=PLAN, headers=key)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"] == "/api/v1/sort-plans/sunday/1"
    other = await client.post("/api/v1/sort-plans", json={**PLAN, "id": "monday"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "reused")
    assert (await client.post("/api/v1/sort-plans", json=PLAN)).json()["version"] == 2
    assert state.sort_plan == ""
    path = "/api/v1/sort-plans/sunday/1"
    assert (await client.post(f"{path}/activate", json={"reason": "it is sunday"})).status_code == 200
    assert house.runtime.kernel.site.sort_plan.id == "sunday"
    active = (await client.get("/api/v1/sort-plans:active")).json()
    assert (active["id"], active["version"], active["source"]) == ("sunday", active["version"], "uploaded")
    assert active["destinations"] == PLAN["destinations"]
    assert (await client.post("/api/v1/sort-plans:yaml")).status_code == 200
    assert (await client.get("/api/v1/sort-plans:active")).json()["id"] == "weekday"
    changes = (await client.get("/api/v1/sort-plans:history")).json()["changes"]
    assert [(c["id"], c["version"], c["who"], c["why"]) for c in changes] == [
        ("", 0, "the-engineer", ""), ("sunday", 1, "the-engineer", "it is sunday"),
    ]  # fmt: skip
    listed = (await client.get("/api/v1/sort-plans", params={"limit": 1})).json()
    assert [(p["id"], p["version"], p["why"]) for p in listed["plans"]] == [("sunday", 1, "sundays")]
    rest = (await client.get("/api/v1/sort-plans", params={"cursor": listed["next"]})).json()
    assert [(p["id"], p["version"]) for p in rest["plans"]] == [("sunday", 2)]
    assert (await client.get(path)).json()["who"] == "the-engineer"
    assert (await client.post("/api/v1/sort-plans/sunday/9/activate")).status_code == 404


async def test_an_upload_is_answered_the_same_after_a_restart(house: Any) -> None:
    key = {"Idempotency-Key": "up"}
    first = await house.client("engineer").post("/api/v1/sort-plans", json=PLAN, headers=key)
    house.app = build(house.parts)
    again = await house.client("engineer").post("/api/v1/sort-plans", json=PLAN, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert len((await house.client("viewer").get("/api/v1/sort-plans")).json()["plans"]) == 1


async def test_figures_tell_how_it_goes(house: Any, order_of: Any) -> None:
    await house.load("L1")
    client = house.client("viewer")
    await house.client("operator").post("/api/v1/orders", json=order_of("O1"))
    summary = (await client.get("/api/v1/reports/summary")).json()
    assert summary["totals"]["orders_accepted"] == summary["orders"]["released"] == 1
    assert (summary["steps"], summary["loads"]) == ({"ready": 1}, 1)
    assert summary["devices"] == {"usable": 0, "refused": 13}
    about = (await client.get("/api/v1/about")).json()
    assert about["last_input"] == house.runtime.kernel.state.seq
