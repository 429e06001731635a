"""`stellwerk resolve`: a person says what became of a command whose outcome nobody knows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

POLL_S = 0.1


def resolve(
    command: Annotated[str, typer.Argument(help="The command's id as the alarm names it, such as C1/17.")],
    done: Annotated[bool, typer.Option("--done/--not-done", help="What was found at the machine.")],
    data: Annotated[Path, typer.Option(help="The data folder of the running gateway.")],
    channel: Annotated[str, typer.Option(help="A folder channel of the site, to ask through.")],
    wait_s: Annotated[float, typer.Option(min=1.0, max=600.0, help="How long to wait for the answer.")] = 30.0,
) -> None:
    """Decide a command without an outcome, after a look at the machine. Exit code 1 when the gateway refuses it."""
    from gateway.contract import ResolveCommand
    from gateway.host.folder import Answer, Envelope

    folder = data / "inbox" / channel
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in (data / "inbox").glob("*") if path.is_dir())) or "none"
        typer.echo(f"stellwerk resolve: {folder} is no channel's folder; channels there: {known}", err=True)
        raise typer.Exit(2)
    name = f"resolve-{command.replace('/', '-')}-{'done' if done else 'not-done'}"
    content = msgspec.json.encode(Envelope(f"{name}-{time.time_ns()}", ResolveCommand(command, done)))
    reply = folder / "done" / f"{name}.reply.json"
    reply.unlink(missing_ok=True)
    part = folder / f".{name}.part"
    part.write_bytes(content)
    part.replace(folder / f"{name}.json")
    until_s = time.monotonic() + wait_s
    while not reply.exists():
        if time.monotonic() > until_s:
            text = f"no answer in {wait_s:.0f} s: is the gateway running on {data}? The request stays in {folder}"
            typer.echo(f"stellwerk resolve: {text}", err=True)
            raise typer.Exit(3)
        time.sleep(POLL_S)
    (answer,) = msgspec.json.decode(reply.read_bytes(), type=list[Answer])
    typer.echo(f"{command}: {'decided' if answer.accepted else answer.reason}")
    raise typer.Exit(0 if answer.accepted else 1)
