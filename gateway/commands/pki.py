"""`stellwerk pki`: the gateway's OPC UA certificate, and which servers it trusts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from drivers.opcua.pki import Pki, PkiError

app = typer.Typer(help="The gateway's OPC UA certificate, and which servers it trusts.", no_args_is_help=True)
T = TypeVar("T")
Folder = Annotated[Path, typer.Option(help="The folder that `security: {pki: …}` of the devices names.")]
Name = Annotated[str, typer.Argument(help="The certificate's name as `stellwerk pki list` shows it, or its beginning.")]


@app.command()
def own(folder: Folder = Path("pki"), host: Annotated[str, typer.Option(help="Name of this machine.")] = "") -> None:
    """Make the gateway's own key and certificate; the PLC has to trust the certificate."""
    pki = Pki(folder)
    name = _do(lambda: pki.create_own(host))
    typer.echo(f"{name} made. Let the PLCs trust {pki.certificate}; the key beside it stays here")


@app.command("list")
def list_(folder: Folder = Path("pki")) -> None:
    """Show the servers that are trusted, and those that were met and turned away."""
    known = _do(Pki(folder).known)
    for one in known:
        typer.echo(f"{one.name}  {one.standing:8}  until {one.valid_until:%Y-%m-%d}  {one.subject}")
    if not known:
        typer.echo(f"{folder} holds no server's certificate: a server that is met for the first time is kept there")


@app.command()
def trust(name: Name, folder: Folder = Path("pki")) -> None:
    """Trust a server that was turned away. Compare the name with what the PLC shows first."""
    _do(lambda: Pki(folder).move(name, "trusted"))
    typer.echo(f"{name} is trusted: the gateway connects at its next try")


@app.command()
def reject(name: Name, folder: Folder = Path("pki")) -> None:
    """Trust a server no longer. A session that stands ends with the next connection."""
    _do(lambda: Pki(folder).move(name, "rejected"))
    typer.echo(f"{name} is trusted no longer")


@app.command()
def add(file: Annotated[Path, typer.Argument(help="Certificate in DER or PEM.")], folder: Folder = Path("pki")) -> None:
    """Trust the server, or the authority, whose certificate is in a file."""
    name = _do(lambda: Pki(folder).add(file))
    typer.echo(f"{name} is trusted")


def _do(what: Callable[[], T]) -> T:
    try:
        return what()
    except (PkiError, OSError) as problem:
        typer.echo(f"stellwerk pki: {problem}", err=True)
        raise typer.Exit(2) from None
