"""Logins and tokens of an identity provider, and all the ways in which they are not one."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from identity_provider import CLIENT, SECRET, IdentityProvider
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from gateway.host.access import Access, Presented, Principal, Refused, Session, Started
from gateway.site import HttpSpec

BACK = "http://127.0.0.1:8080/api/v1/session/oidc"
Opened = Callable[..., Awaitable[Access]]
Check = Callable[..., bool]


@pytest.fixture
def spec(provider: IdentityProvider, tmp_path: Path) -> HttpSpec:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    oidc = {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret_file": str(secret),
        "roles": {"plant-engineers": "engineer", "plant-guests": "viewer"},
    }
    return HttpSpec.model_validate({"oidc": oidc})


@pytest.fixture
async def door(opened: Opened, spec: HttpSpec) -> Access:
    return await opened(spec)


async def at_the_provider(url: str) -> tuple[str, str]:
    """What the browser brings back: code and state."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return query["code"][0], query["state"][0]


async def begun(door: Access) -> tuple[str, str, str]:
    """Code, state and cookie of a login that is back from the provider."""
    assert door.oidc is not None
    started = await door.oidc.start(BACK)
    assert isinstance(started, Started), started
    return (*await at_the_provider(started.url), started.cookie)


async def logged_in(door: Access) -> Session | Refused:
    assert door.oidc is not None
    return await door.oidc.finish(*await begun(door))


async def bearer(door: Access, token: str) -> Principal | Refused:
    return await door.identify(Presented(authorization=f"Bearer {token}", peer="10.0.0.9"), writes=True)


async def test_a_login_gives_a_session_with_the_role_of_the_claim(door: Access, is_let_in: Check) -> None:
    session = await logged_in(door)
    assert isinstance(session, Session)
    found = await door.identify(Presented(session=session.token, csrf=session.csrf), writes=True)
    assert is_let_in(found, "oidc:anna", "engineer")
    assert session.principal.kind == "oidc"


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
async def test_clients_say_who_they_are_in_each_way_that_providers_ask_for(
    opened: Opened, spec: HttpSpec, provider: IdentityProvider, method: str
) -> None:
    provider.auth_method = method
    if method == "none":
        assert spec.oidc is not None
        spec = HttpSpec(oidc=spec.oidc.model_copy(update={"client_secret_file": ""}))
    assert isinstance(await logged_in(await opened(spec)), Session)


async def test_the_same_login_counts_once(door: Access, is_refused: Check) -> None:
    assert door.oidc is not None
    code, state, cookie = await begun(door)
    assert isinstance(await door.oidc.finish(code, state, cookie), Session)
    # The provider would not take the code again, either; it must not even be asked.
    again = await door.oidc.finish(code, state, cookie)
    assert is_refused(again, 403)
    assert "used already" in again.reason  # type: ignore[union-attr]


async def test_a_state_of_another_browser_is_refused(door: Access, time: Any, is_refused: Check) -> None:
    assert door.oidc is not None
    mine, other = await begun(door), await begun(door)
    for code, state, cookie in (
        (mine[0], other[1], mine[2]),
        (mine[0], "", mine[2]),
        (mine[0], "ÿ" * 40, mine[2]),
        (mine[0], mine[1], other[2]),
        (mine[0], mine[1], None),
        (mine[0], mine[1], "A" + mine[2][1:]),
        (mine[0], mine[1], mine[2][:-1]),
        (mine[0], mine[1], "x" * 5_000),
        (mine[0], mine[1], "ÿ"),
    ):
        found = await door.oidc.finish(code, state, cookie)
        assert is_refused(found, 403)
        assert "not begun here" in found.reason  # type: ignore[union-attr]
    late = await begun(door)
    assert isinstance(await door.oidc.finish(*mine), Session)  # none of that has used it up
    time.s += 601  # nobody takes ten minutes for a password
    assert is_refused(await door.oidc.finish(*late), 403)


async def test_a_code_of_another_login_fails_at_pkce(door: Access, is_refused: Check) -> None:
    """Somebody's code, put into a login that the attacker has begun himself."""
    assert door.oidc is not None
    victim, mine = await begun(door), await begun(door)
    assert is_refused(await door.oidc.finish(victim[0], mine[1], mine[2]), 403)


WRONG_ID_TOKENS: list[dict[str, Any]] = [
    {"nonce": "of another login"},
    {"nonce": None},
    {"iss": "https://evil.example"},
    {"aud": "another client"},
    {"aud": ["another client"]},
    {"aud": None},
    {"exp": 1_799_999_000},
    {"exp": None},
    {"exp": "soon"},
    {"exp": True},
    {"nbf": 1_800_009_000},
    {"iat": 1_800_009_000},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 256},
    {"roles": ["strangers"]},
    {"roles": None},
    {"roles": {"plant-engineers": 1}},
    {"roles": [["plant-engineers"]]},
]


async def test_an_id_token_that_is_not_right_is_no_login(
    door: Access, provider: IdentityProvider, is_refused: Check
) -> None:
    for more in WRONG_ID_TOKENS:
        provider.more = more
        assert is_refused(await logged_in(door), 403), more
    assert await door.accounts.list() == []
    provider.more = {}
    assert isinstance(await logged_in(door), Session)


async def test_access_tokens_of_the_issuer_are_taken(
    door: Access, provider: IdentityProvider, is_let_in: Check
) -> None:
    assert is_let_in(await bearer(door, provider.access_token()), "oidc:anna", "engineer")
    assert is_let_in(await bearer(door, provider.access_token(aud=["other", CLIENT])), "oidc:anna", "engineer")
    assert is_let_in(await bearer(door, provider.access_token(roles="plant-guests")), "oidc:anna", "viewer")


WRONG_ACCESS_TOKENS: list[tuple[dict[str, Any], int]] = [
    ({"iss": "https://evil.example"}, 401),
    ({"aud": "another client"}, 401),
    ({"aud": None}, 401),
    ({"exp": 1_799_999_000}, 401),
    ({"exp": None}, 401),
    ({"nbf": 1_800_009_000}, 401),
    ({"nonce": "an ID token"}, 401),
    ({"typ": "ID"}, 401),
    ({"sub": None}, 401),
    ({"roles": []}, 403),
]


async def test_other_tokens_are_not(door: Access, provider: IdentityProvider, is_refused: Check) -> None:
    for changed, status in WRONG_ACCESS_TOKENS:
        assert is_refused(await bearer(door, provider.access_token(**changed)), status), changed


def unsigned(provider: IdentityProvider, algorithm: str) -> str:
    claims = jwt.decode(provider.access_token(), options={"verify_signature": False})
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": algorithm, "kid": "k1"}, claims)
    )
    return f"{head}.{body}."


async def test_a_signature_cannot_be_talked_away(door: Access, provider: IdentityProvider, is_refused: Check) -> None:
    for algorithm in ("none", "None", "NONE", "", "HS256", "RS256", "ES256", "../RS256"):
        assert is_refused(await bearer(door, unsigned(provider, algorithm)), 401), algorithm
    # HS256 with the public key as the secret: right by its own arithmetic, and wrong all the same.
    head_and_body = unsigned(provider, "HS256").rstrip(".")
    for secret in (provider.public_key_pem(), provider.public_key_pem().strip()):
        mac = base64.urlsafe_b64encode(hmac.digest(secret, head_and_body.encode(), "sha256")).rstrip(b"=").decode()
        assert is_refused(await bearer(door, f"{head_and_body}.{mac}"), 401)
    # Signed rightly, but by somebody else's key under the issuer's id.
    assert is_refused(await bearer(door, provider.sign({"sub": "1"}, kid="k2", headers={"kid": "k1"})), 401)
    good = provider.access_token()
    assert is_refused(await bearer(door, good[:-8] + "AAAAAAAA"), 401)
    for nonsense in ("e30.e30.e30", "a.b", "....", "ÿ.ÿ.ÿ", "x" * 20_000, "eyJhbGciOiJSUzI1NiJ9" + "." * 500):
        assert is_refused(await bearer(door, nonsense), 401)


async def test_keys_are_fetched_anew_when_they_rotate(
    door: Access, provider: IdentityProvider, time: Any, is_let_in: Check, is_refused: Check
) -> None:
    old = provider.access_token()
    assert is_let_in(await bearer(door, old), "oidc:anna", "engineer")
    provider.rotate()
    new = provider.access_token()
    assert is_refused(await bearer(door, new), 401)  # asked a moment ago: tokens of strangers must not make us ask more
    assert provider.asked_for_keys == 1
    time.s += 11
    assert is_let_in(await bearer(door, new), "oidc:anna", "engineer")
    assert provider.asked_for_keys == 2
    # Believed a moment ago, but the key it was signed with is withdrawn.
    assert is_refused(await bearer(door, old), 401)


async def test_a_withdrawn_key_is_noticed_within_the_hour(
    door: Access, provider: IdentityProvider, time: Any, is_let_in: Check, is_refused: Check
) -> None:
    old = provider.access_token(exp=int(time.s) + 86_400)
    assert is_let_in(await bearer(door, old), "oidc:anna", "engineer")
    provider.rotate()
    time.s += 3_601
    assert is_refused(await bearer(door, old), 401)


async def test_a_token_that_was_believed_is_not_after_its_time(
    door: Access, provider: IdentityProvider, time: Any, is_let_in: Check, is_refused: Check
) -> None:
    token = provider.access_token(exp=int(time.s) + 10)
    assert is_let_in(await bearer(door, token), "oidc:anna", "engineer")
    time.s += 75
    assert is_refused(await bearer(door, token), 401)


async def test_a_provider_that_is_away_costs_its_own_logins_only(
    opened: Opened, spec: HttpSpec, provider: IdentityProvider, time: Any, is_let_in: Check, is_refused: Check
) -> None:
    door = await opened(spec)
    provider.is_down = True
    assert door.oidc is not None
    assert is_refused(await door.oidc.start(BACK), 503)
    assert is_refused(await bearer(door, provider.access_token()), 503)
    key = await door.keys.add("wms", "operator")
    assert is_let_in(await bearer(door, key), "wms", "operator")
    provider.is_down = False
    time.s += 11
    assert is_let_in(await bearer(door, provider.access_token()), "oidc:anna", "engineer")
    provider.is_down = True
    time.s += 3_700  # its keys are older than they should be, but better than nobody at work
    assert is_let_in(await bearer(door, provider.access_token()), "oidc:anna", "engineer")
    time.s += 86_400
    assert is_refused(await bearer(door, provider.access_token()), 503)


async def test_a_provider_that_talks_nonsense_is_no_fault_of_ours(
    door: Access, provider: IdentityProvider, is_refused: Check
) -> None:
    for answer in (
        Response(b"<html>", 200),
        Response(b"[" * 100_000, 200),
        Response(b"x" * (2 * 1024 * 1024), 200),
        JSONResponse({"access_token": "x"}),
        JSONResponse({"error": "server_error"}, 500),
        Response(b"", 302, headers={"location": "http://127.0.0.1:1/"}),
    ):
        provider.token_answer = answer
        assert is_refused(await logged_in(door), 503)


async def test_another_issuer_at_the_same_address_is_refused(
    door: Access, provider: IdentityProvider, is_refused: Check
) -> None:
    provider.said_issuer = "https://login.example"
    assert door.oidc is not None
    found = await door.oidc.start(BACK)
    assert is_refused(found, 503)
    assert "https://login.example" in found.reason  # type: ignore[union-attr]


async def test_whoever_is_disabled_here_is_out_at_once(
    door: Access, provider: IdentityProvider, is_refused: Check
) -> None:
    session = await logged_in(door)
    assert isinstance(session, Session)
    token = provider.access_token()
    assert isinstance(await bearer(door, token), Principal)
    await door.accounts.change("oidc:anna", disabled=True)
    assert is_refused(await door.identify(Presented(session=session.token), writes=False), 401)
    assert is_refused(await bearer(door, token), 403)
    assert is_refused(await logged_in(door), 403)


async def test_nobody_gets_anothers_name(door: Access, provider: IdentityProvider) -> None:
    """Names may be given anew at the provider; `sub` says who it is."""
    first = await bearer(door, provider.access_token())
    second = await bearer(door, provider.access_token(sub="4712"))
    renamed = await bearer(door, provider.access_token(preferred_username="anna.maria"))
    odd = await bearer(door, provider.access_token(sub="4713", preferred_username="root\n'; --" * 20))
    assert isinstance(first, Principal)
    assert isinstance(second, Principal)
    assert isinstance(odd, Principal)
    assert first == renamed
    assert first.name == "oidc:anna"
    assert second.name.startswith("oidc:anna.")
    assert odd.name.startswith("oidc:root____--root")
    assert len(odd.name) < 64


async def test_a_flood_of_forged_tokens_is_slowed_down_and_good_ones_pass(
    door: Access, provider: IdentityProvider, is_let_in: Check
) -> None:
    good = provider.access_token()
    assert is_let_in(await bearer(door, good), "oidc:anna", "engineer")
    forged = [await bearer(door, f"{good[:-10]}{n:010d}") for n in range(130)]
    assert [f.status for f in forged if isinstance(f, Refused)].count(429) == 30
    assert is_let_in(await bearer(door, good), "oidc:anna", "engineer")


async def test_there_is_no_first_link_where_the_provider_names_the_admins(door: Access) -> None:
    assert await door.first_token() is None
    assert await door.make_link() is not None  # unless somebody at the machine asks for it


async def test_roles_may_lie_deeper(
    opened: Opened, spec: HttpSpec, provider: IdentityProvider, is_let_in: Check, is_refused: Check
) -> None:
    assert spec.oidc is not None
    door = await opened(HttpSpec(oidc=spec.oidc.model_copy(update={"role_claim": "realm_access.roles"})))
    deep = {"realm_access": {"roles": ["plant-guests", "plant-engineers"]}}
    assert is_let_in(await bearer(door, provider.access_token(**deep)), "oidc:anna", "engineer")
    flat = {"realm_access.roles": "plant-guests"}
    assert is_let_in(await bearer(door, provider.access_token(**flat)), "oidc:anna", "viewer")
    assert is_refused(await bearer(door, provider.access_token(realm_access="plant-guests")), 403)


def test_an_issuer_beyond_this_machine_is_reached_with_tls() -> None:
    oidc = {"issuer": "http://login.example", "client_id": "x", "roles": {"a": "viewer"}}
    with pytest.raises(ValidationError, match="https://"):
        HttpSpec.model_validate({"oidc": oidc})
