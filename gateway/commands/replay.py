"""`stellwerk replay`: any moment of a journal, what changed between two, and whether today's code decides the same."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.shell.journal.reader import Reader
    from gateway.site import Site


def replay(
    journal: Annotated[Path, typer.Argument(help="The data folder, the journal's folder, or the file itself.")],
    until: Annotated[
        str | None, typer.Option(help="An input's number or an ISO time (UTC); the end if left out.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="With --diff: the earlier moment.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print what changed from --since to --until.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay everything and compare what the inputs draw with what they drew.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    site: Annotated[Path | None, typer.Option(help="The YAML, for a journal too old to say its site.")] = None,
) -> None:
    """Rebuild the gateway's state at any moment and print it. Only reads, beside a running gateway if need be.

    Exit code 1: with --verify, today's code draws other effects. 2: no journal, or not readable.
    """
    from gateway.commands.journal import told
    from gateway.shell.journal.moments import locate, seq_of
    from gateway.shell.journal.reader import Reader
    from gateway.shell.recovery import ReplayFailed

    if diff != (since is not None) or (diff and verify):
        raise typer.BadParameter("--diff and --since go together, and not with --verify")
    named = None if site is None else _loaded(site)
    with told(), Reader(locate(journal)) as reader:
        try:
            until_seq = reader.last_seq if until is None else seq_of(reader, until)
            since_seq = 0 if since is None else seq_of(reader, since)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if verify:
            try:
                raise typer.Exit(_verify(reader, named, until_seq, json))
            except ReplayFailed as error:
                typer.echo(f"stellwerk: {error}", err=True)
                raise typer.Exit(1) from None
        if diff:
            _difference(reader, named, since_seq, until_seq, json)
        else:
            _moment(reader, named, until_seq, json)


def _loaded(path: Path) -> Site:
    import os

    from gateway.shell.config import as_text, load

    loaded = load(path, os.environ)
    if loaded.site is None:
        typer.echo(as_text(loaded.problems, loaded.sources), err=True)
        raise typer.Exit(2)
    return loaded.site


def _print(data: Any) -> None:
    typer.echo(json_module.dumps(data, indent=2, ensure_ascii=False))


def _moment(reader: Reader, site: Site | None, until_seq: int, json: bool) -> None:
    from gateway.commands import state_picture
    from gateway.shell.recovery import rebuild

    kernel = rebuild(reader, site, until_seq).kernel
    seen = state_picture.picture(kernel.state, kernel.site.site.id)
    if json:
        _print(seen)
    else:
        typer.echo(state_picture.as_text(seen))


def _difference(reader: Reader, site: Site | None, since_seq: int, until_seq: int, json: bool) -> None:
    from gateway.codec import decode_state
    from gateway.commands import state_difference
    from gateway.shell.journal.moments import iso
    from gateway.shell.recovery import rebuild

    if since_seq > until_seq:
        raise typer.BadParameter(f"--since is input {since_seq}, which comes after --until, input {until_seq}")
    before = decode_state(rebuild(reader, site, since_seq).kernel.snapshot())
    after = rebuild(reader, site, until_seq).kernel.state
    changes = state_difference.difference(before, after)
    moments = {name: {"seq": s.seq, "time": iso(s.now_ns)} for name, s in (("since", before), ("until", after))}
    if json:
        _print({**moments, "changes": changes})
        return
    told = [f"input {moment['seq']}, {moment['time']}" for moment in moments.values()]
    typer.echo(f"from {told[0]} to {told[1]}\n{state_difference.as_text(changes)}")


def _verify(reader: Reader, site: Site | None, until_seq: int, json: bool) -> int:
    import msgspec

    from gateway.shell.replay import compare

    found = compare(reader, site, until_seq)
    difference = found.difference
    drawn = [
        {"seq": entered.seq, "input": msgspec.to_builtins(entered.body), "draws": msgspec.to_builtins(effects)}
        for entered, effects in (difference.drawn_today if difference else [])
    ]
    if json:
        batch = {"first_seq": difference.first_seq, "last_seq": difference.last_seq} if difference else None
        _print(
            {
                "after_seq": found.begin_seq, "inputs": found.inputs, "batches": found.batches,
                "with_digest": found.with_digest, "same": difference is None, "differs": batch, "drawn_today": drawn,
            }
        )  # fmt: skip
        return 0 if difference is None else 1
    typer.echo(
        f"replayed {found.inputs} inputs after input {found.begin_seq}; {found.with_digest} of them, in "
        f"{found.batches} batches, had a digest and drew the same effects"
    )
    if difference is None:
        return 0
    typer.echo(f"DIFFERS   the inputs {difference.first_seq} to {difference.last_seq} draw other effects today:")
    for line in drawn:
        typer.echo(json_module.dumps(line, ensure_ascii=False))
    return 1
