"""Who may do what: every route for every kind of asker."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.host.access import ROLES, covers
from gateway.host.api import NoRole
from gateway.host.api.application import check_roles
from gateway.host.api.guarded import Guarded, GuardedSocket

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"
ASKERS = (("", HERE), ("", ELSEWHERE), *((role, ELSEWHERE) for role in ROLES))
WRITES = ("POST", "PUT", "PATCH", "DELETE")
FOR_ANYBODY = {
    "GET /api/v1/health", "GET /api/v1/ready", "POST /api/v1/session", "GET /api/v1/oidc/start",
    "GET /api/v1/oidc/callback", "GET /first/{token}", "POST /first/{token}", "POST /api/v1/hooks/{channel}",
    "GET /", "GET /web/{path}",
}  # fmt: skip
FOR_ADMINS = {"accounts", "keys", "audit", "audit:verify"}
FOR_ENGINEERS = {
    "POST /api/v1/sort-plans", "POST /api/v1/sort-plans:validate", "POST /api/v1/sort-plans:yaml",
    "POST /api/v1/sort-plans/{id}/{version}/activate", "GET /api/v1/dead-letters", "POST /api/v1/dead-letters:replay",
}  # fmt: skip


def laid_down(method: str, path: str) -> str:
    """The rule in words, apart from the code: who looks on is a viewer, who changes something an operator."""
    name = f"{method} {path}"
    if name in FOR_ANYBODY:
        return "anybody"
    if path.startswith("/api/v1/") and PurePosixPath(path).parts[3] in FOR_ADMINS:
        return "admin"
    if name in FOR_ENGINEERS:
        return "engineer"
    return "viewer" if method == "GET" or name == "DELETE /api/v1/session" else "operator"


def routes_of(app: FastAPI) -> list[tuple[str, Guarded]]:
    return [
        (method, route) for route in app.routes if isinstance(route, Guarded) for method in sorted(route.methods or ())
    ]


def filled(route: Guarded) -> str:
    return route.path_format.replace("{version}", "1").replace("{", "x-").replace("}", "")


async def test_every_route_has_the_role_that_is_laid_down_for_it(house: Any) -> None:
    found = {f"{method} {route.path_format}": route.role for method, route in routes_of(house.app)}
    assert len(found) >= 70
    assert found == {name: laid_down(*name.split(" ", 1)) for name in found}
    sockets = {route.path: route.role for route in house.app.routes if isinstance(route, GuardedSocket)}
    assert sockets == {"/api/v1/live": "viewer"}
    assert found.keys() >= FOR_ANYBODY | FOR_ENGINEERS


@pytest.mark.parametrize(("role", "peer"), ASKERS, ids=lambda text: text or "anonymous")
async def test_each_route_lets_in_whom_it_is_for_and_nobody_else(house: Any, role: str, peer: str) -> None:
    client = house.client(role, peer)
    wrong = []
    for method, route in routes_of(house.app):
        body = {} if method in WRITES else None
        answer = await client.request(method, filled(route), json=body)
        if route.role == "anybody":
            # Logging in with nothing is refused for what it is, not for who asks.
            fine = answer.status_code not in (401, 403) and (answer.status_code < 500)
        elif not role:
            looks_on = peer == HERE and route.role == "viewer" and method == "GET"
            fine = answer.status_code == 401 if not looks_on else answer.status_code not in (401, 403)
        elif covers(role, route.role):  # type: ignore[arg-type]
            fine = answer.status_code not in (401, 403)
        else:
            fine = answer.status_code == 403
        if not fine or answer.status_code >= 500:
            wrong.append(f"{method} {route.path_format} ({route.role}): {answer.status_code} {answer.text[:200]}")
        if answer.status_code in (401, 403):
            problem = answer.json()
            assert problem["code"] == ("unauthorized" if answer.status_code == 401 else "forbidden")
            assert problem["next"]
            assert answer.headers["content-type"] == "application/problem+json"
            assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    assert wrong == []


async def test_whoever_was_passed_on_is_not_taken_for_somebody_on_this_machine(house: Any) -> None:
    client = house.client("", HERE)
    assert (await client.get("/api/v1/orders")).status_code == 200
    for header in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"):
        answer = await client.get("/api/v1/orders", headers={header: "127.0.0.1"})
        assert answer.status_code == 401, header


async def test_a_page_that_leads_its_own_name_here_reads_nothing(house: Any) -> None:
    client = house.client("", HERE)
    for host, status in (
        ("localhost:8080", 200), ("127.0.0.1", 200), ("[::1]:8080", 200), ("evil.example:8080", 401), ("", 401),
        ("[", 401), ("127.0.0.1.evil.example", 401),
    ):  # fmt: skip
        assert (await client.get("/api/v1/orders", headers={"Host": host})).status_code == status, host
    key = {"Authorization": f"Bearer {house.keys['viewer']}", "Host": "gateway.example"}
    assert (await client.get("/api/v1/orders", headers=key)).status_code == 200


async def test_a_proxy_that_is_named_tells_who_asks(house_of: Any) -> None:
    house = await house_of({"proxies": ["127.0.0.1"]})
    answer = await house.client("operator").put(
        "/api/v1/loads/L1", json={"location": "RACK-1"}, headers={"X-Forwarded-For": "203.0.113.9"}
    )
    assert answer.status_code == 200
    (entry,) = await house.access.audit.read(limit=1)
    assert (entry.peer, entry.who, entry.what) == ("203.0.113.9", "the-operator", "announce_load L1")


async def test_nobody_on_this_machine_looks_on_where_the_site_says_so(house_of: Any) -> None:
    house = await house_of({"anonymous_read": False})
    client = house.client()
    assert (await client.get("/api/v1/orders")).status_code == 401
    assert (await client.get("/api/v1/health")).json() == {"status": "alive"}
    assert (await client.get("/api/v1/ready")).json() == {"ready": True, "status": "healthy"}
    whole = (await house.client("viewer").get("/api/v1/ready")).json()
    assert whole["links"] == {"up": 3, "uncertain": 0, "down": 10}


async def test_a_route_without_a_role_can_not_be_built(house: Any) -> None:
    async def anything() -> None:
        pass

    with pytest.raises(NoRole, match="/x has no role"):
        Guarded(
            "/x", anything, parts=house.parts, role=None, writes=False, audited=False, secret=False, json_body=False,  # type: ignore[arg-type]
            any_query=False,
        )  # fmt: skip
    house.app.add_api_route("/forgotten", anything)
    with pytest.raises(NoRole, match="/forgotten has no role"):
        check_roles(house.app)


async def test_a_wrong_key_is_not_taken_for_nobody(house: Any) -> None:
    for bad in ("Bearer swk_0_0", "Bearer ", "Basic eDp5", "Bearer " + "x" * 5_000, "\xff"):
        answer = await house.client().get("/api/v1/orders", headers={"Authorization": bad.encode("latin-1")})
        assert answer.status_code == 401, bad
        assert "swk_0_0" not in answer.text


async def test_too_many_requests_are_told_when_to_come_again(house_of: Any) -> None:
    house = await house_of({"rate": {"writes": {"per_s": 1, "burst": 2}}})
    client = house.client("operator")
    answers = [await client.delete("/api/v1/orders/none") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].json()["code"] == "limit"
    assert (await client.get("/api/v1/orders")).status_code == 200
    # What was turned away at the door is not in the log: nobody fills it that way.
    assert len(await house.access.audit.read()) == 2
