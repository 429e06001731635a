"""Logins, accounts, keys, the audit log, hooks, pages, and what every answer carries."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apsw
import pytest

from gateway.host.store import StoreFull

PASSWORD = "four words in a row"
ELSEWHERE = "192.0.2.7"


async def test_the_link_makes_the_first_account_once(house: Any) -> None:
    client = house.client(peer=ELSEWHERE)
    token = await house.access.first_token()
    page = await client.get(f"/first/{token}")
    assert page.status_code == 200
    assert "<form" in page.text
    assert "<script" not in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    weak = await client.post(
        f"/first/{token}", data={"name": "eva", "password": "short"}, headers={"Accept": "text/html"}
    )
    assert weak.status_code == 422
    assert "12 to 128 characters" in weak.text
    wrong = await client.post("/first/guessed", data={"name": "eva", "password": PASSWORD})
    assert (wrong.status_code, wrong.json()["instance"]) == (403, "/first/{token}")
    assert token not in wrong.text
    made = await client.post(f"/first/{token}", data={"name": "eva", "password": PASSWORD})
    assert made.status_code == 200
    assert "eva is the first admin" in made.text
    again = await client.post(f"/first/{token}", data={"name": "mallory", "password": PASSWORD})
    assert again.status_code == 403
    assert (await client.post(f"/first/{token}", json={"name": "eva", "password": PASSWORD})).status_code == 415
    told = [str(entry) for entry in await house.access.audit.read()]
    assert not any(PASSWORD in line or token in line for line in told)


async def test_a_login_gives_a_cookie_that_changes_things_only_with_its_token(house: Any) -> None:
    await house.access.accounts.add("eva", PASSWORD, "admin")
    client = house.client(peer=ELSEWHERE)
    wrong = await client.post("/api/v1/session", json={"name": "eva", "password": PASSWORD + "!"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthorized")
    assert PASSWORD not in wrong.text
    begun = await client.post("/api/v1/session", json={"name": "eva", "password": PASSWORD})
    cookie = begun.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    session = begun.json()
    assert (session["name"], session["role"]) == ("eva", "admin")
    client.cookies.set("stellwerk_session", cookie.partition("=")[2].partition(";")[0])
    assert (await client.get("/api/v1/session")).json()["csrf"] == session["csrf"]
    assert (await client.put("/api/v1/loads/L1", json={"location": "RACK-1"})).status_code == 403
    token = {"X-CSRF-Token": session["csrf"]}
    assert (await client.put("/api/v1/loads/L1", json={"location": "RACK-1"}, headers=token)).status_code == 200
    assert (await client.delete("/api/v1/session", headers=token)).status_code == 204
    assert (await client.get("/api/v1/orders")).status_code == 401


async def test_what_is_wrong_with_a_login_does_not_show_the_password(house: Any) -> None:
    client = house.client()
    for body in ({"name": 7, "password": 12345678}, {"password": PASSWORD}, {"name": "eva", "password": [PASSWORD]}):
        answer = await client.post("/api/v1/session", json=body)
        assert answer.status_code == 422
        assert PASSWORD not in answer.text
        assert "12345678" not in answer.text


async def test_accounts_and_keys_are_made_changed_and_ended(house: Any) -> None:
    client = house.client("admin")
    await house.access.accounts.add("eva", PASSWORD, "admin")
    new = {"name": "ben", "password": PASSWORD, "role": "operator"}
    made = await client.post("/api/v1/accounts", json=new, headers={"X-Reason": "new shift"})
    assert made.status_code == 201
    twice = await client.post("/api/v1/accounts", json=new)
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    assert (await client.patch("/api/v1/accounts/ben", json={"role": "viewer"})).status_code == 200
    assert (await client.patch("/api/v1/accounts/ben", json={})).status_code == 422
    assert (await client.patch("/api/v1/accounts/nobody", json={"disabled": True})).status_code == 404
    ben, eva = (await client.get("/api/v1/accounts")).json()["accounts"]
    assert (ben["name"], ben["role"], ben["disabled"]) == ("ben", "viewer", False)
    key = await client.post("/api/v1/keys", json={"name": "wms", "role": "operator"})
    text = key.json()["key"]
    wms = {"Authorization": f"Bearer {text}"}
    stranger = house.client(peer=ELSEWHERE)
    assert (await stranger.get("/api/v1/session", headers=wms)).json()["name"] == "wms"
    renewed = await client.post("/api/v1/keys/wms/renew", json={"overlap_h": 1})
    assert renewed.json()["key"] != text
    assert (await stranger.get("/api/v1/orders", headers=wms)).status_code == 200
    listed = await client.get("/api/v1/keys")
    assert text not in listed.text
    assert (await client.delete("/api/v1/keys/wms")).status_code == 200
    assert (await stranger.get("/api/v1/orders", headers=wms)).status_code == 401
    assert (await client.delete("/api/v1/accounts/ben")).status_code == 200
    own = await client.delete("/api/v1/keys/the-admin")
    assert (own.status_code, own.json()["code"]) == (409, "conflict")
    last = await client.delete(f"/api/v1/accounts/{eva['name']}")
    assert (last.status_code, last.json()["code"]) == (409, "conflict")
    entries = (await client.get("/api/v1/audit", params={"what": "add_account"})).json()["entries"]
    assert [(e["what"], e["why"], e["outcome"], e["status"], e["who"]) for e in entries] == [
        ("add_account ben operator", "", "refused", 409, "the-admin"),
        ("add_account ben operator", "new shift", "accepted", 201, "the-admin"),
    ]
    everything = (await client.get("/api/v1/audit")).text
    assert PASSWORD not in everything
    assert text not in everything


async def test_the_audit_log_is_read_in_pages_and_verified(house: Any) -> None:
    client = house.client("admin")
    for n in range(5):
        await client.put(f"/api/v1/loads/L{n}", json={"location": "RACK-1"})
    page = (await client.get("/api/v1/audit", params={"limit": 3})).json()
    rest = (await client.get("/api/v1/audit", params={"limit": 3, "cursor": page["next"]})).json()
    assert [entry["what"] for entry in page["entries"] + rest["entries"]] == [
        f"announce_load L{n}" for n in (4, 3, 2, 1, 0)
    ]
    verified = (await client.get("/api/v1/audit:verify")).json()
    assert (verified["whole"], verified["head_number"]) == (True, 5)


async def test_what_can_not_be_recorded_is_not_confirmed(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client("operator")

    async def full(entry: object) -> int:
        raise StoreFull

    with monkeypatch.context() as patched:
        patched.setattr(house.access.audit, "append", full)
        answer = await client.put("/api/v1/loads/L1", json={"location": "RACK-1"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    again = await client.put("/api/v1/loads/L1", json={"location": "RACK-1"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 200
    assert len(await house.access.audit.read()) == 1


@dataclass
class Said:
    status: int
    reason: str


class Shop:
    """A channel that takes what begins with `{`."""

    def __init__(self) -> None:
        self.heard: list[tuple[Mapping[str, str], bytes]] = []

    async def accept(self, headers: Mapping[str, str], body: bytes) -> Said:
        self.heard.append((headers, body))
        if "x-signature" not in headers:
            return Said(401, "there is no signature")
        return Said(200, "") if body.startswith(b"{") else Said(422, "no order")


async def test_a_hook_is_handed_to_its_channel_as_it_came(house_of: Any) -> None:
    shop = Shop()
    house = await house_of(hooks={"shop": shop})
    client = house.client(peer=ELSEWHERE)
    path, signed = "/api/v1/hooks/shop?topic=orders", {"X-Signature": "s"}
    assert (await client.post(path, content=b'{"id": 1}', headers=signed)).json() == {"accepted": True}
    assert shop.heard[0][1] == b'{"id": 1}'
    assert (await client.post(path, content=b"\xff", headers=signed)).json()["code"] == "invalid"
    assert (await client.post(path, content=b"{}")).status_code == 401
    assert (await client.post("/api/v1/hooks/none", content=b"{}")).status_code == 404
    entries = await house.access.audit.read()
    assert [(e.who, e.kind, e.outcome) for e in entries] == [("shop", "hook", "refused"), ("shop", "hook", "accepted")]


async def test_every_answer_carries_what_browsers_must_know(house: Any) -> None:
    client = house.client("viewer")
    for path in ("/api/v1/orders", "/nowhere", "/api/v1/orders?limit=x"):
        answer = await client.get(path)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert "access-control-allow-origin" not in (await client.get("/api/v1/orders")).headers
    unknown = await client.get("/nowhere")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown")
    method = await client.put("/api/v1/orders")
    assert (method.status_code, method.headers["allow"], method.json()["code"]) == (405, "GET, POST", "method")


async def test_other_origins_are_shut_out_unless_they_are_named(house_of: Any) -> None:
    house = await house_of({"cors": ["https://wms.example"]})
    client = house.client("viewer")
    asking = {"Access-Control-Request-Method": "POST"}
    fine = await client.options("/api/v1/orders", headers={"Origin": "https://wms.example", **asking})
    assert (fine.status_code, fine.headers["access-control-allow-origin"]) == (204, "https://wms.example")
    assert "access-control-allow-credentials" not in fine.headers
    other = await client.options("/api/v1/orders", headers={"Origin": "https://evil.example", **asking})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers
    read = await client.get("/api/v1/orders", headers={"Origin": "https://wms.example"})
    assert read.headers["access-control-allow-origin"] == "https://wms.example"


async def test_the_documentation_needs_no_internet(house: Any) -> None:
    client = house.client()
    page = await client.get("/docs")
    assert "https://" not in page.text
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "begin.js"):
        assert (await client.get(f"/docs/{name}")).status_code == 200
    assert (await client.get("/docs/../pages.py")).status_code == 404
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["x-role"], (method, path)
            assert operation["summary"], (method, path)


async def test_a_fault_of_ours_is_logged_and_told_by_a_reference_only(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.Error("at /secret/place")

    monkeypatch.setattr(house.parts.plans, "browse", broken)
    answer = await house.client("viewer").get("/api/v1/sort-plans")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    (logged,) = [call for call in house.log.calls if call.method_name == "error"]
    assert logged.kwargs["reference"] in answer.json()["detail"]


async def test_a_full_disk_is_told(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(house.parts.plans, "browse", full)
    answer = await house.client("viewer").get("/api/v1/sort-plans")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_while_the_gateway_takes_nothing_it_says_so(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client("operator")
    with monkeypatch.context() as patched:
        patched.setattr(house.runtime._engine, "status", "journal full")
        ready = await client.get("/api/v1/ready")
        assert (ready.status_code, ready.json()["ready"], ready.json()["status"]) == (503, False, "journal full")
        refused = await client.put("/api/v1/loads/L1", json={"location": "RACK-1"}, headers={"Idempotency-Key": "k"})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "journal full" in refused.json()["detail"]
        assert refused.headers["retry-after"]
        assert (await client.get("/api/v1/health")).status_code == 200
    again = await client.put("/api/v1/loads/L1", json={"location": "RACK-1"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 200


async def test_without_an_identity_provider_there_is_no_login_with_one(house: Any) -> None:
    for path in ("start", "callback?code=x&state=y&session_state=z"):
        answer = await house.client().get(f"/api/v1/oidc/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown")
