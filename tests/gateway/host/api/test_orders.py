"""Orders over HTTP: created, changed, held, cancelled, explained, listed, reconciled; keys and versions."""

from __future__ import annotations

import asyncio
from typing import Any

KEY = "Idempotency-Key"


async def test_an_order_is_created_shown_and_explained(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    body = order_of("O 1", priority=2, deadline="2027-01-01T08:00:00+01:00")
    made = await client.post("/api/v1/orders", json=body, headers={KEY: "first"})
    assert made.status_code == 201
    assert made.json() == {"request_id": "first", "what": "create_order", "id": "O 1", "accepted": True}
    assert made.headers["location"] == "/api/v1/orders/O%201"
    assert made.headers["idempotency-key"] == "first"
    shown = await client.get(made.headers["location"])
    order = shown.json()
    assert (order["client"], order["priority"], order["state"]) == ("the-operator", 2, "released")
    assert order["deadline"] == "2027-01-01T07:00:00.000000Z"
    assert [(step["step"], step["load"], step["state"]) for step in order["steps"]] == [("a", "L1", "ready")]
    assert shown.headers["etag"].startswith(f'"{order["version"]}-')
    why = (await client.get("/api/v1/orders/O%201/explain")).json()
    assert why["reasons"][0].startswith("O 1/a (move L1, now at RACK-1) is ready: waits for a vehicle")
    missing = await client.get("/api/v1/orders/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown")


async def test_a_repeat_is_done_once_and_answered_the_same(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    first = await client.post("/api/v1/orders", json=order_of("O1"), headers={KEY: "k"})
    again = await client.post("/api/v1/orders", json=order_of("O1"), headers={KEY: "k"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = await client.post("/api/v1/orders", json=order_of("O2"), headers={KEY: "k"})
    assert (other.status_code, other.json()["code"]) == (422, "reused")
    assert "idempotency-replayed" not in other.headers
    # Another one's key of the same name is another key.
    theirs = await house.client("admin").post("/api/v1/orders", json=order_of("O3"), headers={KEY: "k"})
    assert theirs.status_code == 201
    # What was refused is refused again, whatever is so by now.
    refused = await client.post("/api/v1/orders", json=order_of("O4", "L4"), headers={KEY: "r"})
    await house.load("L4")
    repeated = await client.post("/api/v1/orders", json=order_of("O4", "L4"), headers={KEY: "r"})
    assert (refused.status_code, refused.content) == (repeated.status_code, repeated.content)
    assert refused.json()["detail"].startswith("step a: unknown load 'L4'")
    assert house.runtime.kernel.state.orders.keys() == {"O1", "O3"}


async def test_a_key_of_two_requests_at_once_is_done_once(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    answers = await asyncio.gather(
        *(client.post("/api/v1/orders", json=order_of("O1"), headers={KEY: "k"}) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert house.runtime.kernel.state.tally.orders_accepted == 1


async def test_a_key_must_be_one_and_one_is_made_where_there_is_none(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    for bad in ("", "x" * 201, "a b", "ä"):
        answer = await client.post("/api/v1/orders", json=order_of("O1"), headers={KEY: bad.encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), bad
    answer = await client.post("/api/v1/orders", json=order_of("O1"))
    assert answer.headers["idempotency-key"] == answer.json()["request_id"] != ""
    assert (await client.post("/api/v1/orders", json=order_of("O2"), headers={KEY: "x" * 200})).status_code == 201


async def test_of_a_list_each_order_is_accepted_or_refused_by_itself(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    bodies = [order_of("O1"), order_of("O1"), order_of("O2", "nowhere"), order_of("O3")]
    answer = await client.post("/api/v1/orders", json=bodies, headers={KEY: "many"})
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [(r["order"], r["accepted"], r["status"]) for r in results] == [
        ("O1", True, 201), ("O1", False, 409), ("O2", False, 422), ("O3", True, 201),
    ]  # fmt: skip
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 2)
    assert results[1]["next"]
    again = await client.post("/api/v1/orders", json=bodies, headers={KEY: "many"})
    assert again.content == answer.content
    shorter = await client.post("/api/v1/orders", json=bodies[:1], headers={KEY: "many"})
    assert (shorter.status_code, shorter.json()["code"]) == (422, "reused")
    single = await client.post("/api/v1/orders", json=order_of("O9"), headers={KEY: "many"})
    assert (single.status_code, single.json()["code"]) == (422, "reused")
    entries = await house.access.audit.read(who="the-operator", what="create_order")
    assert [entry.outcome for entry in entries[:1]] == ["refused"]
    assert sorted(entry.what for entry in entries[-4:]) == [
        "create_order O1", "create_order O1", "create_order O2", "create_order O3",
    ]  # fmt: skip


async def test_an_order_is_changed_by_whoever_knows_how_it_is(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    await client.post("/api/v1/orders", json=order_of("O1", deadline="2027-01-01T08:00:00Z"))
    old = (await client.get("/api/v1/orders/O1")).headers["etag"]
    changed = await client.patch("/api/v1/orders/O1", json={"priority": 1}, headers={"If-Match": old, KEY: "c"})
    assert changed.status_code == 200
    repeated = await client.patch("/api/v1/orders/O1", json={"priority": 1}, headers={"If-Match": old, KEY: "c"})
    assert (repeated.status_code, repeated.content) == (200, changed.content)
    late = await client.patch("/api/v1/orders/O1", json={"priority": 5}, headers={"If-Match": old})
    assert (late.status_code, late.json()["code"]) == (412, "version")
    new = await client.get("/api/v1/orders/O1")
    assert (new.json()["priority"], new.headers["etag"]) != (3, old)
    assert (await client.get("/api/v1/orders/O1", headers={"If-None-Match": new.headers["etag"]})).status_code == 304
    assert (await client.get("/api/v1/orders/O1", headers={"If-None-Match": old})).status_code == 200
    for kept in (f'"{new.json()["version"]}"', "*"):
        answer = await client.patch("/api/v1/orders/O1", json={"deadline": None}, headers={"If-Match": kept})
        assert answer.status_code == 200, kept
        assert (await client.get("/api/v1/orders/O1")).json()["deadline"] is None
    assert (await client.patch("/api/v1/orders/O1", json={}, headers={"If-Match": '"99"'})).status_code == 412
    assert (
        await client.patch("/api/v1/orders/O1", json={}, headers={"If-Match": '"of another kind"'})
    ).status_code == 422
    nothing = await client.patch("/api/v1/orders/O1", json={})
    assert (nothing.status_code, nothing.json()["code"]) == (422, "invalid")
    released = await client.patch("/api/v1/orders/O1", json={"steps": order_of("x")["steps"]})
    assert (released.status_code, released.json()["code"]) == (409, "conflict")


async def test_an_order_is_held_resumed_and_cancelled_with_a_reason(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    for name in ("O1", "O2"):
        await client.post("/api/v1/orders", json=order_of(name))
    assert (await client.post("/api/v1/orders/O1/hold", json={"reason": "Rückfrage"})).status_code == 200
    held = (await client.get("/api/v1/orders/O1")).json()
    assert (held["state"], held["held"]) == ("interrupted", "Rückfrage")
    assert (await client.post("/api/v1/orders/O1/hold")).status_code == 409
    assert (await client.post("/api/v1/orders/O1/resume")).status_code == 200
    assert (await client.post("/api/v1/orders/O1/cancel", json={"reason": "customer"})).status_code == 200
    gone = await client.delete("/api/v1/orders/O2", headers={"X-Reason": "twice"})
    assert gone.status_code == 200
    ended = (await client.get("/api/v1/orders", params={"state": "cancelled"})).json()["orders"]
    assert [(order["order"], order["reason"]) for order in ended] == [("O1", "customer"), ("O2", "twice")]
    assert (await client.post("/api/v1/orders/O1/cancel")).status_code == 409
    entries = await house.access.audit.read(what="cancel_order")
    assert [(e.what, e.why, e.outcome, e.status) for e in reversed(entries)] == [
        ("cancel_order O1", "customer", "accepted", 200),
        ("cancel_order O2", "twice", "accepted", 200),
        ("cancel_order O1", "", "refused", 409),
    ]
    assert {(e.who, e.kind, e.role, e.peer) for e in entries} == {("the-operator", "key", "operator", "127.0.0.1")}


async def test_lists_are_filtered_and_come_in_pages(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    for n in range(4):
        await house.load(f"L{n}")
    bodies = [order_of(f"O{n}", f"L{n % 4}", priority=1 + n % 2) for n in range(10)]
    await client.post("/api/v1/orders", json=bodies)
    await client.post("/api/v1/orders/O4/hold")

    async def names(**params: Any) -> list[str]:
        found: list[str] = []
        while True:
            answer = await client.get("/api/v1/orders", params=params)
            assert answer.status_code == 200, answer.text
            found += [order["order"] for order in answer.json()["orders"]]
            if not answer.json()["next"]:
                return found
            params["cursor"] = answer.json()["next"]

    everything = [f"O{n}" for n in range(10)]
    assert await names(limit=3) == everything
    assert await names(limit=10) == everything
    assert await names(limit=4, sort="newest") == everything[::-1]
    assert await names(load="L1") == ["O1", "O5", "O9"]
    assert await names(priority=2, limit=2) == ["O1", "O3", "O5", "O7", "O9"]
    assert await names(state="interrupted") == ["O4"]
    assert await names(text="o4") == ["O4"]
    assert await names(client="nobody") == []
    for params in (
        {"limit": 501},
        {"limit": 0},
        {"cursor": "!"},
        {"cursor": "wA"},
        {"state": "lost"},
        {"stat": "created"},
    ):
        answer = await client.get("/api/v1/orders", params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), params
    assert answer.json()["errors"] == [
        {"where": "query", "path": "/stat", "problem": "there is no such parameter here"}
    ]


async def test_a_host_that_was_away_learns_how_everything_stands(house: Any, order_of: Any) -> None:
    client = house.client("operator")
    await house.load("L1")
    for name in ("O1", "O2", "O3"):
        await client.post("/api/v1/orders", json=order_of(name))
    before = (await client.get("/api/v1/about")).json()["now"]
    await client.delete("/api/v1/orders/O2")
    found = (await client.get("/api/v1/orders:open")).json()
    assert [order["order"] for order in found["orders"]] == ["O1", "O3"]
    assert all(order["version"] >= 1 and order["steps"] for order in found["orders"])
    assert found["input"] == house.runtime.kernel.state.seq
    since = (await client.get("/api/v1/orders:open", params={"ended_since": before, "limit": 2})).json()
    assert [order["order"] for order in since["orders"]] == ["O1", "O2"]
    rest = await client.get("/api/v1/orders:open", params={"ended_since": before, "cursor": since["next"]})
    assert [order["order"] for order in rest.json()["orders"]] == ["O3"]


async def test_what_met_a_limit_of_the_site_is_decided_anew_under_the_same_key(house: Any, order_of: Any) -> None:
    client, site = house.client("operator"), house.runtime.kernel.site
    await house.load("L1")
    policies = site.policies.model_copy(update={"orders_open_max": 1})
    house.runtime.kernel.site = site.model_copy(update={"policies": policies})
    assert (await client.post("/api/v1/orders", json=order_of("O1"))).status_code == 201
    full = await client.post("/api/v1/orders", json=order_of("O2"), headers={KEY: "k"})
    assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (429, "limit", "1")
    assert "the same again" in full.json()["next"]
    listed = (await client.post("/api/v1/orders", json=[order_of("O3")])).json()["results"][0]
    assert (listed["status"], listed["next"]) == (429, full.json()["next"])
    await client.delete("/api/v1/orders/O1")
    assert (await client.post("/api/v1/orders", json=order_of("O2"), headers={KEY: "k"})).status_code == 201


async def test_everything_that_is_wrong_with_a_body_is_told_at_once(house: Any) -> None:
    body = {
        "order": "a/b", "priority": "3", "deadline": "tomorrow", "colour": 1,
        "steps": [{"step": "", "kind": "fly", "load": "L1", "after": [1]}],
    }  # fmt: skip
    answer = await house.client("operator").post("/api/v1/orders", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid")
    assert {error["path"] for error in problem["errors"]} == {
        "/order", "/priority", "/deadline", "/colour", "/steps/0/step", "/steps/0/kind", "/steps/0/after/0",
    }  # fmt: skip
    assert problem["detail"].endswith("(and 6 more)")
    listed = await house.client("operator").post("/api/v1/orders", json=[body | {"order": "O1"}])
    assert "/0/steps/0/kind" in {error["path"] for error in listed.json()["errors"]}
