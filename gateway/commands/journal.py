"""`stellwerk journal`: look at a journal, save what is sound of a damaged one, export its inputs, make it smaller."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.shell.journal.repair import Repaired
    from gateway.shell.journal.verify import Verdict

app = typer.Typer(no_args_is_help=True, help="Look at a journal, repair it, export its inputs, make it smaller.")
Place = Annotated[Path, typer.Argument(help="The data folder, the journal's folder, or the file itself.")]
SiteId = Annotated[str, typer.Option("--site-id", help="Whose journal it is, where the file can't say it any more.")]
PROBLEMS_SHOWN_MAX = 20


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with a journal as a whole, on stderr; exit code 2. Warnings go there, too: stdout belongs to the
    result."""
    import structlog

    from gateway.shell.journal import JournalError

    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    except JournalError as error:
        typer.echo(f"stellwerk: {error}", err=True)
        raise typer.Exit(2) from None
    finally:
        structlog.configure(**before)


@app.command()
def verify(place: Place, site_id: SiteId = "") -> None:
    """Check everything: the chain of all inputs, every snapshot, the file's structure, beside a running gateway if need
    be. Exit code 0: sound, 1: damaged, 2: no journal or not readable."""
    from gateway.shell.journal import JournalDamaged
    from gateway.shell.journal.moments import locate
    from gateway.shell.journal.verify import verify as look

    with told():
        path = locate(place)
        try:
            verdict = look(path, site_id)
        except JournalDamaged as error:
            typer.echo(f"DAMAGED   {error}")
            raise typer.Exit(1) from None
    typer.echo("\n".join(_described(verdict)))
    if verdict.is_sound:
        typer.echo("sound     nothing is missing and nothing was changed")
        return
    for problem in verdict.problems[:PROBLEMS_SHOWN_MAX]:
        typer.echo(f"DAMAGED   {problem}")
    if len(verdict.problems) > PROBLEMS_SHOWN_MAX:
        typer.echo(f"          and {len(verdict.problems) - PROBLEMS_SHOWN_MAX} more")
    typer.echo(f"next step stop the gateway, then `stellwerk journal repair {place}` saves what is sound")
    raise typer.Exit(1)


def _described(verdict: Verdict) -> Iterator[str]:
    from gateway.shell.journal.moments import iso

    scan = verdict.scan
    size = _mib(verdict.file_bytes)
    yield f"journal   {verdict.path}, site {verdict.site_id!r}, layout {verdict.layout}, {size}"
    if scan.first and scan.last:
        yield f"inputs    {scan.inputs}, {scan.first[0]} to {scan.last[0]}, {_mib(scan.body_bytes)} of content"
        yield f"          from {iso(scan.first[1])} to {iso(scan.last[1])}"
    else:
        yield "inputs    none"
    if verdict.base_seq:
        yield f"          those up to {verdict.base_seq} have made room"
    for kept in verdict.snapshots:
        what = f"format {kept.state_format}, {_mib(kept.state_bytes)}: {kept.problem or 'sound'}"
        yield f"snapshot  after {kept.seq}, {iso(kept.at_ns)}, {what}"
    yield f"effects   of {verdict.drawn} batches are known by their digests"


@app.command()
def repair(place: Place, site_id: SiteId = "") -> None:
    """Save what is sound of a damaged journal into a new file; the damaged one is kept under another name.

    Only with the gateway stopped. Exit code 0 also where there was nothing to repair, 2 where nothing could be saved.
    """
    from gateway.shell.journal.repair import repair as save
    from gateway.shell.journal.repair import target_of

    with told():
        path = target_of(place)
        outcome = save(path, site_id)
    if outcome.now is None:
        typer.echo(f"{path} is sound: there is nothing to repair, nothing was changed")
        return
    typer.echo("\n".join(_told_of(path, outcome)))


def _told_of(path: Path, outcome: Repaired) -> Iterator[str]:
    from gateway.shell.journal.moments import iso

    found, now = outcome.found, outcome.now
    assert now is not None, "something was repaired"
    for problem in found.problems[:PROBLEMS_SHOWN_MAX]:
        yield f"found     {problem}"
    if outcome.kept_as is None:
        yield f"accepted  {path} goes on as it is, with input {now.end_seq} of {iso(now.end_at_ns)} as its last"
    else:
        held = f"the inputs {now.base_seq + 1} to {now.end_seq}" if now.end_seq > now.base_seq else "no inputs"
        begin = f", and the state after input {now.base_seq} to begin with" if now.base_seq else ""
        yield f"repaired  {path} has {held}{begin}; its last moment is {iso(now.end_at_ns)}"
        yield f"kept      the damaged file, as {outcome.kept_as}"
    if now.base_seq > found.base_seq:
        yield f"history   the inputs up to {now.base_seq} can't be replayed any more; what they did is in the state"
    lost = outcome.lost_seqs
    if not lost:
        yield "lost      nothing of the state"
        yield "next step have the disk checked, then start the gateway"
        return
    since = iso(now.end_at_ns)
    until = iso(found.end_at_ns) if found.end_at_ns > now.end_at_ns else "the end of the last run"
    yield f"LOST      the inputs {lost.start} to {lost.stop - 1}: all that happened from {since} to {until}"
    yield "next steps"
    yield "  1. Have the disk checked; it may lose more."
    yield f"  2. `stellwerk replay {path.parent}` prints what the gateway knows now. Walk through the plant with it:"
    yield "     announce each load that stands elsewhere or is unknown (announce_load), remove those that are gone"
    yield "     (remove_load)."
    yield f"  3. Have the hosts send again all that they have sent since {since}, with the same request ids:"
    yield "     what is known is answered the same and not done again."
    yield "  4. Start the gateway. What machines have done of commands that are lost shows in their reports; look after"
    yield "     the alarms that come up."


@app.command()
def export(
    place: Place,
    after: Annotated[str | None, typer.Option(help="Only inputs after this number or ISO time.")] = None,
    until: Annotated[str | None, typer.Option(help="Only inputs up to this number or ISO time.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write here; a file that exists is left alone.")] = None,
) -> None:
    """Write the inputs as lines of JSON (seq, time, type, content), beside a running gateway if need be."""
    from gateway.shell.journal.export import lines
    from gateway.shell.journal.moments import locate, seq_of
    from gateway.shell.journal.reader import Reader

    with told(), Reader(locate(place)) as reader:
        try:
            after_seq = reader.first_seq - 1 if after is None else seq_of(reader, after)
            until_seq = reader.last_seq if until is None else seq_of(reader, until)
            stream = sys.stdout.buffer if output is None else output.open("xb")
        except FileExistsError:
            raise typer.BadParameter(f"{output} exists already: name another file, or move it away") from None
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
        try:
            for line in lines(reader, after_seq, until_seq):
                stream.write(line + b"\n")
            stream.flush()
        except BrokenPipeError:
            # Whoever reads has seen enough, as `head` has; nobody wants what Python would still flush at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            typer.echo(f"stellwerk: {output or 'stdout'} is not complete: {error}", err=True)
            raise typer.Exit(2) from None
        finally:
            if output is not None:
                stream.close()


@app.command()
def compact(
    place: Place,
    mib_max: Annotated[int, typer.Option(min=1, help="Let the oldest inputs go until the rest takes so many MiB.")],
) -> None:
    """Make the file smaller, with the gateway stopped: the oldest inputs go, and the room is given back to the disk.

    What a restart needs stays, so the file may end up larger than asked for.
    """
    from gateway.shell.journal.compact import compact as shrink
    from gateway.shell.journal.moments import locate

    with told():
        path = locate(place)
        done = shrink(path, mib_max * 2**20)
    typer.echo(f"{path}: {_mib(done.bytes_before)} before, {_mib(done.bytes_after)} now")
    gone = done.first_after - done.first_before
    typer.echo(
        f"{gone} inputs have gone, it begins with input {done.first_after}" if gone else "every input is still there"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
