"""`stellwerk access`: the way in when nobody can log in, beside a gateway that runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.commands.access import app
from gateway.host.access import Access, AuditEntry, Presented, Session

Opened = Callable[..., Awaitable[Access]]
Check = Callable[..., bool]


class Command:
    """What a person types, and what comes of it."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __call__(self, *words: str, typed: str = "", code: int = 0) -> str:
        found = CliRunner().invoke(app, [*words, "--data", str(self.data)], input=typed)
        assert found.exit_code == code, found.output
        assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
        return found.output


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_the_first_account_and_what_follows(command: Command, tmp_path: Path, password: str) -> None:
    file = tmp_path / "password"
    file.write_text(password + "\n")
    assert "no gateway" in command("list", code=2)
    assert "first account" in command("add", "eve", "--password-file", str(file), code=2)
    command("add", "eve", "--role", "admin", "--password-file", str(file), "--why", "new plant")
    command("add", "bob", "--password-file", "-", typed=password)
    command("add", "ann", typed=f"{password}\n{password}\n")
    command("role", "bob", "engineer")
    command("disable", "ann")
    assert "last admin" in command("disable", "eve", code=2)
    assert "last admin" in command("role", "eve", "viewer", code=2)
    assert "last admin" in command("remove", "eve", code=2)
    key = command("key-add", "wms", "--days", "30").splitlines()[0]
    assert key.startswith("swk_")
    shown = command("list")
    for line in ("user  admin     eve", "user  engineer  bob", "user  viewer    ann  disabled", "key   operator  wms"):
        assert line in shown
    assert key not in shown
    command("key-revoke", "wms")
    command("disable", "ann", "--undo")
    command("remove", "ann")
    shown = command("audit", "--limit", "100")
    assert "add_account eve  accepted  why: new plant" in shown
    assert len(shown.splitlines()) == 9  # what was refused has changed nothing
    assert "revoke_key wms" in command("audit", "--what", "revoke_key")
    assert command("audit", "--who", "nobody") == "no entries\n"
    assert "sound" in command("audit", "--verify")
    assert password not in shown
    assert (tmp_path / "host" / "host.db").stat().st_mode & 0o077 == 0


def test_what_is_wrong_is_said(command: Command, tmp_path: Path, password: str) -> None:
    assert "no role" in command("add", "eve", "--role", "root", typed=f"{password}\n{password}\n", code=2)
    assert "12 to 128" in command("add", "eve", "--role", "admin", typed="short\nshort\n", code=2)
    assert "can be read" in command("add", "eve", "--password-file", str(tmp_path / "none"), code=2)
    (tmp_path / "large").write_bytes(b"x" * 5_000)
    assert "more than" in command("add", "eve", "--password-file", str(tmp_path / "large"), code=2)
    command("add", "eve", "--role", "admin", typed=f"{password}\n{password}\n")
    assert "no account" in command("disable", "nobody", code=2)
    assert "no key" in command("key-revoke", "nobody", code=2)
    assert "an account already" in command("link", code=2)
    (tmp_path / "host" / "host.db").write_bytes(b"rubbish" * 1_000)
    (tmp_path / "host" / "host.db-wal").unlink(missing_ok=True)
    assert "can't be used" in command("list", code=2)
    assert "no folder" in Command(tmp_path / "nowhere")("list", code=2)


def test_nothing_of_a_host_reaches_the_terminal_as_it_is(command: Command, tmp_path: Path, password: str) -> None:
    command("add", "eve", "--role", "admin", "--why", "\x1b[2J\nwiped", typed=f"{password}\n{password}\n")
    assert "\x1b" not in command("audit")
    assert len(command("audit").splitlines()) == 1


async def test_a_running_gateway_goes_by_it(
    opened: Opened, access: Access, tmp_path: Path, password: str, time: Any, is_let_in: Check, is_refused: Check
) -> None:
    """A process of its own changes things while this one writes its audit log without a pause."""
    await access.accounts.add("bob", password, "operator")
    session = await access.login("bob", password, "10.0.0.9")
    assert isinstance(session, Session)
    done = asyncio.Event()

    async def work() -> int:
        count = 0
        while not done.is_set():
            await asyncio.gather(*(access.audit.append(AuditEntry("wms", "x", "accepted", 1)) for _ in range(20)))
            count += 20
        return count

    working = asyncio.create_task(work())
    words = [sys.executable, "-c", "from gateway.commands.access import app; app()"]
    for more in (["disable", "bob"], ["key-add", "wms"]):
        found = await asyncio.to_thread(
            subprocess.run, [*words, *more, "--data", str(tmp_path)], capture_output=True, text=True, timeout=60
        )
        assert found.returncode == 0, found.stderr
    done.set()
    assert await working > 20
    time.s += 1
    assert is_refused(await access.identify(Presented(session=session.token), writes=False), 401)
    key = Presented(authorization=f"Bearer {found.stdout.strip()}")
    assert is_let_in(await access.identify(key, writes=True), "wms", "operator")
    assert await access.audit.verify() == []
    for what in ("add_key wms", "change_account bob"):
        assert [entry.kind for entry in await access.audit.read(what=what)] == ["local"]


def test_a_changed_log_is_found_out(command: Command, tmp_path: Path, password: str) -> None:
    import apsw

    command("add", "eve", "--role", "admin", typed=f"{password}\n{password}\n")
    command("key-add", "wms")
    db = apsw.Connection(str(tmp_path / "host" / "host.db"))
    db.execute("drop trigger audit_is_never_changed; update audit set who = 'somebody else' where number = 1")
    db.close()
    shown = command("audit", "--verify", code=1)
    assert "BROKEN    entry 1 " in shown
    assert "next step" in shown


async def test_the_link_of_the_command_works_at_the_running_gateway(
    opened: Opened, command: Command, password: str, time: Any, is_let_in: Check
) -> None:
    # The command goes by the time of day, this gateway by the test's: in its past the link has not expired.
    time.s = 1_000_000_000
    access = await opened()
    shown = await asyncio.to_thread(command, "link", "--url", "https://wes.example/")
    address, _, token = shown.strip().rpartition("/")
    assert address == "https://wes.example/first"
    assert is_let_in(await access.redeem(token, "eve", password), "eve", "admin")
