"""`stellwerk access`: accounts, keys and the audit log, straight in the data folder, with or without a running gateway.

Whoever may write that folder is in charge of the gateway anyway; this is his way in when nobody can log in. What is
changed here is in the audit log as well, and a running gateway goes by it within a second.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from gateway.host.access import Access, AuditEntry

app = typer.Typer(no_args_is_help=True, help="Accounts, API keys and the audit log of the host interface.")
T = TypeVar("T")
Data = Annotated[Path, typer.Option(help="The gateway's data folder; the gateway may be running.")]
Name = Annotated[str, typer.Argument(help="As `stellwerk access list` shows it.")]
RoleOption = Annotated[str, typer.Option(help="viewer, operator, engineer or admin; each covers those before.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Take the password from this file, - for standard input; else you are asked for it.")
]
Why = Annotated[str, typer.Option(help="Kept in the audit log.")]
HOUR_NS = 3_600 * 10**9
PASSWORD_BYTES_MAX = 1_024
NO_BOUND = 2**62


@app.command("list")
def list_(data: Data) -> None:
    """Show accounts and keys."""

    async def work(access: Access) -> list[str]:
        found = [
            f"{a.kind:5} {a.role:9} {a.name}{'  disabled' if a.disabled else ''}  since {_day(a.made_ns)}"
            for a in await access.accounts.list()
        ]
        for key in await access.keys.list():
            end = f"  until {_minute(key.expires_ns)}" if key.expires_ns else ""
            found.append(f"key   {key.role:9} {key.name}  id {key.id}  since {_day(key.made_ns)}{end}")
        return found

    lines = _on(data, work)
    typer.echo("\n".join(lines) or "there is none yet: `stellwerk access add` or `stellwerk access link`")


@app.command()
def add(name: Name, data: Data, role: RoleOption = "viewer", password_file: PasswordFile = None, why: Why = "") -> None:
    """Add somebody who may log in. The first one must be an admin."""
    _known_role(role)
    password = _password(password_file)
    noted = _entry(f"add_account {name}", why, f"as {role}")
    _on(data, lambda access: access.accounts.add(name, password, role, noted=noted), may_make=True)  # type: ignore[arg-type]
    typer.echo(f"{name} may log in as {role}")


@app.command()
def role(name: Name, role: Annotated[str, typer.Argument(help="The new one.")], data: Data, why: Why = "") -> None:
    """Give somebody another role; it counts from the next request."""
    _known_role(role)
    noted = _entry(f"change_account {name}", why, f"role {role}")
    _on(data, lambda access: access.accounts.change(name, role=role, noted=noted))  # type: ignore[arg-type]
    typer.echo(f"{name} is {role}")


@app.command()
def password(name: Name, data: Data, password_file: PasswordFile = None, why: Why = "") -> None:
    """Give somebody a new password. All sessions of that account end."""
    text = _password(password_file)
    noted = _entry(f"change_account {name}", why, "password")
    _on(data, lambda access: access.accounts.change(name, password=text, noted=noted))
    typer.echo(f"{name} has a new password and no session")


@app.command()
def disable(
    name: Name,
    data: Data,
    undo: Annotated[bool, typer.Option("--undo", help="Let the account in again.")] = False,
    why: Why = "",
) -> None:
    """Let somebody in no longer; all sessions of that account end. Works for people of the identity provider, too."""
    noted = _entry(f"change_account {name}", why, "enabled" if undo else "disabled")
    _on(data, lambda access: access.accounts.change(name, disabled=not undo, noted=noted))
    typer.echo(f"{name} may log in again" if undo else f"{name} is disabled and has no session")


@app.command()
def remove(name: Name, data: Data, why: Why = "") -> None:
    """Forget an account; its entries in the audit log stay. Disable it where its name must not be given anew."""
    _on(data, lambda access: access.accounts.remove(name, noted=_entry(f"remove_account {name}", why)))
    typer.echo(f"{name} is removed")


@app.command("key-add")
def key_add(
    name: Annotated[str, typer.Argument(help="The program that will use the key, such as wms.")],
    data: Data,
    role: RoleOption = "operator",
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="It expires after so many days.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="A new secret for this name; its role stays.")] = False,
    overlap_h: Annotated[int, typer.Option(min=0, max=720, help="With --renew: the old one is good so long.")] = 24,
    why: Why = "",
) -> None:
    """Make an API key and print it, this once; only its hash is kept."""
    _known_role(role)

    async def work(access: Access) -> str:
        from gateway.shell import clock

        expires_ns = None if days is None else clock.now_ns() + days * 24 * HOUR_NS
        if renew:
            noted = _entry(f"renew_key {name}", why, f"the old one is good for {overlap_h} h")
            return await access.keys.renew(name, overlap_h * HOUR_NS, expires_ns, noted=noted)
        noted = _entry(f"add_key {name}", why, f"as {role}")
        return await access.keys.add(name, role, expires_ns, noted=noted)  # type: ignore[arg-type]

    # Nothing else on stdout: `stellwerk access key-add … > file` is how it gets to its program.
    typer.echo(_on(data, work, may_make=not renew))
    typer.echo(f"{name}: this is shown once. Send it as `Authorization: Bearer swk_…`", err=True)


@app.command("key-revoke")
def key_revoke(name: Name, data: Data, why: Why = "") -> None:
    """End a key, at once."""
    _on(data, lambda access: access.keys.revoke(name, noted=_entry(f"revoke_key {name}", why)))
    typer.echo(f"{name} has no key any more")


@app.command()
def audit(
    data: Data,
    verify: Annotated[bool, typer.Option("--verify", help="Check the whole chain; exit code 1 if it breaks.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="So many entries, the newest first.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Only entries with a lower number.")] = None,
    who: Annotated[str | None, typer.Option(help="Only what this name has asked for.")] = None,
    what: Annotated[str | None, typer.Option(help="Only what begins so, such as cancel_order.")] = None,
) -> None:
    """Show who did what, or check that nobody has changed the record of it."""
    from gateway.host.access import Break

    async def check(access: Access) -> tuple[list[Break], tuple[int, str]]:
        return await access.audit.verify(), await access.audit.head()

    if not verify:
        entries = _on(data, lambda access: access.audit.read(before, limit, who=who, what=what))
        typer.echo("\n".join(map(_line, entries)) or "no entries")
        return
    breaks, (number, hashed) = _on(data, check)
    for found in breaks:
        typer.echo(f"BROKEN    {found.problem}")
    if breaks:
        typer.echo("next step keep a copy of the data folder as it is, and find out who could write it")
        raise typer.Exit(1)
    typer.echo(f"sound     up to entry {number}, hash {hashed}\nnext step note both elsewhere, and compare next time")


@app.command()
def link(
    data: Data,
    url: Annotated[str, typer.Option(help="How browsers reach the gateway.")] = "http://127.0.0.1:8080",
) -> None:
    """Print a new one-time link for the first account; those printed before are worth nothing."""
    from gateway.host.access.link import address

    token = _on(data, lambda access: access.make_link(noted=_entry("make_link", "")), may_make=True)
    if token is None:
        typer.echo("stellwerk access: there is an account already: `stellwerk access add` makes another one", err=True)
        raise typer.Exit(2)
    typer.echo(address(url, token))


def _on(data: Path, work: Callable[[Access], Awaitable[T]], *, may_make: bool = False) -> T:
    """Do `work` on the accounts in a data folder; whatever is wrong goes to stderr, exit code 2."""
    import apsw

    from gateway.host.access import Access, AccessError, TooManyHashes
    from gateway.host.store import Store, StoreFull
    from gateway.shell import clock
    from gateway.site import HttpSpec

    async def opened() -> T:
        store = await Store.open(path, Access.SCHEMA)
        try:
            # The site's own bound is the gateway's affair: nothing makes room in the audit log from here.
            return await work(await Access.open(store, HttpSpec(audit_entries_max=NO_BOUND), clock.now_ns))
        finally:
            await store.close()

    path = data / "host" / "host.db"
    try:
        if not data.is_dir():
            raise FileNotFoundError(f"{data} is no folder: name the gateway's data folder with --data")
        is_new = not path.exists()
        if is_new and not may_make:
            raise FileNotFoundError(f"{path} is not there: no gateway with a host interface has run on {data} yet")
        done = asyncio.run(opened())
        if is_new:
            _hand_over(path, data)
    except (AccessError, StoreFull, TooManyHashes, OSError) as error:
        typer.echo(f"stellwerk access: {error}", err=True)
        raise typer.Exit(2) from None
    except apsw.Error as error:
        hint = "is it the gateway's, and may you write it?"
        typer.echo(f"stellwerk access: {path} can't be used ({error}): {hint}", err=True)
        raise typer.Exit(2) from None
    return done


def _hand_over(path: Path, data: Path) -> None:
    """What root has made in the folder of the gateway's user must be that user's."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    owner = data.stat()
    for made in (path.parent, *path.parent.glob(f"{path.name}*")):
        os.chown(made, owner.st_uid, owner.st_gid)


def _known_role(role: str) -> None:
    from gateway.host.access import ROLES

    if role not in ROLES:
        raise typer.BadParameter(f"{role!r} is no role: it is one of {', '.join(ROLES)}")


def _password(file: Path | None) -> str:
    """Never from the command line: that is in the shell's history and in everybody's list of processes."""
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(PASSWORD_BYTES_MAX + 1)
        else:
            with file.open("rb") as stream:
                raw = stream.read(PASSWORD_BYTES_MAX + 1)
        if len(raw) > PASSWORD_BYTES_MAX:
            raise ValueError(f"more than {PASSWORD_BYTES_MAX} bytes")
        return raw.decode("utf-8").strip("\r\n")
    except (OSError, ValueError) as error:
        typer.echo(f"stellwerk access: no password can be read from {file}: {error}", err=True)
        raise typer.Exit(2) from None


def _entry(what: str, why: str, detail: str = "") -> AuditEntry:
    from gateway.host.access import AuditEntry
    from gateway.shell import clock

    return AuditEntry(
        _person(), what, "accepted", clock.now_ns(), kind="local", why=why, method="stellwerk access", detail=detail
    )


def _person() -> str:
    """Who sits at this machine; behind sudo the one who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"uid {os.getuid()}"


def _line(entry: AuditEntry) -> str:
    origin = f" from {entry.peer}" if entry.peer else ""
    status = f" {entry.status}" if entry.status else ""
    rest = "".join(f"  {name}: {text}" for name, text in (("why", entry.why), ("detail", entry.detail)) if text)
    who = f"{entry.who or '-'}{f' ({entry.kind})' if entry.kind else ''}"
    text = f"{entry.number}  {_minute(entry.at_ns)}  {who}{origin}  {entry.what}  {entry.outcome}{status}{rest}"
    # Hosts choose much of this: no escape sequence of theirs reaches a terminal.
    return "".join(c if c.isprintable() else "�" for c in text)


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%d")


def _minute(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
