"""Accounts, logins and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

import pytest

from gateway.host.access import Access, AccessError, Presented, Principal, Refused, Session, cookie, passwords
from gateway.host.access import sessions as sessions_module
from gateway.site import HttpSpec

Opened = Callable[..., Awaitable[Access]]
Check = Callable[..., bool]
PEER = "10.0.0.9"


async def logged_in(access: Access, name: str, password: str, peer: str = PEER) -> Session:
    found = await access.login(name, password, peer)
    assert isinstance(found, Session), found
    return found


def by(session: Session, csrf: str | None = None) -> Presented:
    return Presented(session=session.token, csrf=csrf, peer=PEER)


# --- accounts ---


async def test_names_that_are_none(access: Access, password: str) -> None:
    for name in ("", " ", "-x", "a b", "x" * 65, "oidc:anna", "anonymous", "Anonymous", "bob\n", "bób"):
        with pytest.raises(AccessError) as refused:
            await access.accounts.add(name, password, "viewer")
        assert refused.value.code == "invalid"


async def test_passwords_that_are_none(access: Access) -> None:
    for weak in ("", "short", "x" * 12, "abababababab", "x" * 200, "longname-bob", "longname-bob1"):
        with pytest.raises(AccessError) as refused:
            await access.accounts.add("longname-bob", weak, "viewer")
        assert refused.value.code == "invalid"
        assert not weak or weak not in refused.value.reason
    assert [a.name for a in await access.accounts.list()] == ["root"]


async def test_one_name_is_one_of_users_and_keys_in_whatever_case(access: Access, password: str) -> None:
    await access.keys.add("wms", "operator")
    for taken in ("wms", "WMS", "Root"):
        with pytest.raises(AccessError) as refused:
            await access.accounts.add(taken, password, "viewer")
        assert refused.value.code == "conflict"
    with pytest.raises(AccessError):
        await access.keys.add("ROOT", "viewer")


async def test_the_first_account_is_an_admins(opened: Opened, password: str) -> None:
    access = await opened()
    with pytest.raises(AccessError, match="the first account"):
        await access.accounts.add("bob", password, "operator")


@pytest.mark.parametrize("change", [{"role": "engineer"}, {"disabled": True}, {"remove": True}])
async def test_the_last_admin_stays(access: Access, password: str, change: dict[str, Any]) -> None:
    async def try_it() -> None:
        if "remove" in change:
            await access.accounts.remove("root")
        else:
            await access.accounts.change("root", **change)

    await access.accounts.add("bob", password, "viewer")
    with pytest.raises(AccessError, match="last admin") as refused:
        await try_it()
    assert refused.value.code == "conflict"
    assert isinstance(await access.login("root", password, PEER), Session)
    # A disabled admin is no admin who could help.
    await access.accounts.change("bob", role="admin", disabled=True)
    with pytest.raises(AccessError, match="last admin"):
        await try_it()
    await access.accounts.change("bob", disabled=False)
    await try_it()


async def test_of_two_last_admins_who_go_at_once_one_stays(access: Access, password: str) -> None:
    await access.accounts.add("eve", password, "admin")
    removals = (access.accounts.remove("root"), access.accounts.change("eve", role="viewer"))
    outcomes = await asyncio.gather(*removals, return_exceptions=True)
    assert [isinstance(outcome, AccessError) for outcome in outcomes].count(True) == 1


async def test_who_is_unknown_is_told_so(access: Access) -> None:
    await access.keys.add("wms", "operator")
    for name in ("nobody", "wms", ""):
        with pytest.raises(AccessError) as refused:
            await access.accounts.change(name, disabled=True)
        assert refused.value.code == "unknown"
        with pytest.raises(AccessError):
            await access.accounts.remove(name)


# --- logins ---


async def test_a_login_is_for_the_right_password_only(access: Access, password: str, is_refused: Check) -> None:
    await access.keys.add("wms", "operator")
    session = await logged_in(access, "ROOT", password)
    assert session.principal == Principal("root", "user", "admin")
    wrong = [await access.login(name, text, PEER) for name, text in (("root", "wrong " * 3), ("nobody", password))]
    assert wrong[0] == wrong[1]
    assert is_refused(wrong[0], 401)
    for name, text in (("wms", password), ("root", ""), ("root", "\ud800" * 9), ("x" * 9_999, password)):
        assert is_refused(await access.login(name, text, f"10.0.1.{len(text)}"), 401)
    told = await access.audit.read(what="login")
    assert [entry.outcome for entry in told] == ["refused"] * 6 + ["accepted"]
    assert password not in str(told)


async def test_passwords_are_kept_as_argon2id(dear_hashes: None) -> None:
    kept = await passwords.Passwords().hash("bob", "correct horse battery staple")
    assert kept.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert await passwords.Passwords().verify(kept, "correct horse battery staple")
    # The same characters, composed in another way.
    other = await passwords.Passwords().hash("bob", "cafe\u0301 und noch ein Wort")
    assert await passwords.Passwords().verify(other, "café und noch ein Wort")


async def test_too_many_logins_at_once_are_refused_and_count_as_no_failure(
    access: Access, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "WAITING_MAX", 4)
    logins = (access.login(f"nobody{number}", password, f"10.0.{number}.1") for number in range(12))
    refused = [found.status for found in await asyncio.gather(*logins) if isinstance(found, Refused)]
    assert len(refused) == 12
    assert refused.count(401) >= 4
    assert refused.count(429) >= 1
    await logged_in(access, "root", password)


async def test_an_unknown_name_takes_as_long_as_a_known_one(dear_hashes: None, access: Access) -> None:
    """In processor time of the whole process, the least of some tries: the machine may be busy with other things."""

    async def least_s(name: str) -> float:
        spent = []
        for number in range(3):
            before_s = process_time()
            await access.login(name, "a wrong password", f"10.{len(name)}.0.{number}")
            spent.append(process_time() - before_s)
        return min(spent)

    known, unknown = await least_s("root"), await least_s("nobody")
    assert known / 3 < unknown < known * 3


async def test_guessing_is_slowed_down_by_name_and_by_peer(
    access: Access, password: str, time: Any, is_refused: Check
) -> None:
    for number in range(3):
        assert is_refused(await access.login("root", "a wrong one", f"10.0.{number}.1"), 401)
    refused = await access.login("root", password, "10.0.99.1")
    assert is_refused(refused, 429)
    assert isinstance(refused, Refused)
    assert 0 < refused.retry_after_s <= 1
    time.s += refused.retry_after_s
    await logged_in(access, "root", password, "10.0.99.1")
    for number in range(3):
        assert is_refused(await access.login(f"name {number}", "a wrong one", "10.0.50.1"), 401)
    assert is_refused(await access.login("somebody", password, "10.0.50.1"), 429)
    assert is_refused(await access.login("root", password, "10.0.50.1"), 429)
    await logged_in(access, "root", password, "10.0.51.1")


async def test_many_guesses_at_once_do_not_slip_through(access: Access) -> None:
    guesses = (access.login("root", f"guess number {number}", f"10.0.{number}.1") for number in range(40))
    outcomes = [found.status for found in await asyncio.gather(*guesses) if isinstance(found, Refused)]
    assert outcomes.count(401) == 3
    assert outcomes.count(429) == 37


async def test_whoever_logs_in_rightly_waits_for_the_rate_of_logins_alone(
    opened: Opened, access: Access, password: str, time: Any, is_refused: Check
) -> None:
    """A shift change behind one address: nobody mistypes."""
    door = await opened(HttpSpec.model_validate({"rate": {"logins": {"per_s": 1, "burst": 6}}}))
    for _ in range(6):
        await logged_in(door, "root", password)
    assert is_refused(await door.login("root", password, PEER), 429)
    time.s += 1
    await logged_in(door, "root", password)


# --- sessions ---


async def test_a_change_by_cookie_needs_the_csrf_token(access: Access, password: str, is_refused: Check) -> None:
    session = await logged_in(access, "root", password)
    other = await logged_in(access, "root", password)
    assert await access.identify(by(session), writes=False) == session.principal
    for csrf in (None, "", other.csrf, session.csrf[:-1], "ÿ", session.token):
        assert is_refused(await access.identify(by(session, csrf), writes=True), 403)
    assert await access.identify(by(session, session.csrf), writes=True) == session.principal
    again = await access.session(by(session))
    assert again == session


@pytest.mark.parametrize("token", ["x", "0" * 64, "ÿ" * 64, "\ud800", "x" * 100_000])
async def test_a_cookie_that_is_none(access: Access, token: str, is_refused: Check) -> None:
    local = Presented(session=token, peer="127.0.0.1")
    assert is_refused(await access.identify(local, writes=False), 401)


async def test_a_session_ends_with_logout_and_for_that_one_only(
    access: Access, password: str, is_refused: Check
) -> None:
    first, second = await logged_in(access, "root", password), await logged_in(access, "root", password)
    await access.logout(first.token)
    await access.logout("no such token")
    assert is_refused(await access.identify(by(first), writes=False), 401)
    assert await access.identify(by(second), writes=False) == second.principal


@pytest.mark.parametrize("change", [{"disabled": True}, {"password": "another good password"}, {"remove": True}])
async def test_a_session_ends_at_once_with_the_account(
    access: Access, password: str, change: dict[str, Any], is_refused: Check
) -> None:
    await access.accounts.add("bob", password, "operator")
    session = await logged_in(access, "bob", password)
    if "remove" in change:
        await access.accounts.remove("bob")
    else:
        await access.accounts.change("bob", **change)
    assert is_refused(await access.identify(by(session), writes=False), 401)
    if "remove" in change:
        # Another one of that name does not inherit it.
        await access.accounts.add("bob", password, "admin")
    elif "disabled" in change:
        assert is_refused(await access.login("bob", password, PEER), 401)
        await access.accounts.change("bob", disabled=False)
    assert is_refused(await access.identify(by(session), writes=False), 401)


async def test_a_new_role_counts_from_the_next_request(access: Access, password: str, is_let_in: Check) -> None:
    await access.accounts.add("bob", password, "operator")
    session = await logged_in(access, "bob", password)
    await access.accounts.change("bob", role="viewer")
    assert is_let_in(await access.identify(by(session), writes=False), "bob", "viewer")


async def test_a_session_lasts_its_time(opened: Opened, password: str, time: Any, is_refused: Check) -> None:
    access = await opened(HttpSpec.model_validate({"session": {"hours_max": 2, "idle_min_max": 30}}))
    await access.accounts.add("root", password, "admin")
    busy, idle = await logged_in(access, "root", password), await logged_in(access, "root", password)
    for _ in range(5):
        time.s += 20 * 60
        assert await access.identify(by(busy), writes=False) == busy.principal
    assert is_refused(await access.identify(by(idle), writes=False), 401)
    time.s += 20 * 60
    assert is_refused(await access.identify(by(busy), writes=False), 401)


async def test_a_restart_logs_nobody_out(
    opened: Opened, access: Access, password: str, time: Any, is_refused: Check
) -> None:
    session = await logged_in(access, "root", password)
    gone = await logged_in(access, "root", password)
    await access.logout(gone.token)
    time.s += 50 * 60
    assert await access.identify(by(session), writes=False) == session.principal
    time.s += 50 * 60
    again = await opened()
    assert await again.identify(by(session, session.csrf), writes=True) == session.principal
    assert is_refused(await again.identify(by(gone), writes=False), 401)


async def test_the_oldest_session_makes_room(
    access: Access, password: str, time: Any, is_refused: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "EACH_MAX", 3)
    sessions = []
    for _ in range(4):
        time.s += 1
        sessions.append(await logged_in(access, "root", password))
    assert is_refused(await access.identify(by(sessions[0]), writes=False), 401)
    for session in sessions[1:]:
        assert isinstance(await access.identify(by(session), writes=False), Principal)


def test_cookies_are_closed() -> None:
    assert cookie("a", "b", secure=True, max_age_s=60) == "a=b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
    assert cookie("a", "", secure=False, max_age_s=0) == "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    assert "SameSite=Lax" in cookie("a", "b", secure=True, max_age_s=60, cross_site=True)
