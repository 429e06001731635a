"""The `stellwerk` command.

Each command imports what it needs by itself: `check` must answer an editor at once and needs no driver.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from gateway.commands import access, doctor, import_lif, journal, order, pki
from gateway.commands.replay import replay
from gateway.commands.resolve import resolve
from gateway.commands.simulate import simulate

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="The signal box for a warehouse."
)
T = TypeVar("T")
SiteArgument = Annotated[Path, typer.Argument(help="A site: one YAML file or a folder of them.")]


class Format(StrEnum):
    text = "text"
    json = "json"


app.command()(doctor.doctor)
app.command()(doctor.browse)
app.command()(replay)
app.command()(resolve)
app.command()(simulate)
app.add_typer(access.app, name="access")
app.add_typer(journal.app, name="journal")
app.add_typer(import_lif.app, name="import")
app.add_typer(order.app, name="order")
app.add_typer(pki.app, name="pki")


def main() -> None:
    app()


@app.command()
def version() -> None:
    """Print the version."""
    from gateway.shell.version import installed_version

    typer.echo(installed_version())


@app.command()
def check(
    path: SiteArgument,
    format: Annotated[Format, typer.Option(help="json is for editors.")] = Format.text,
) -> None:
    """Check a site's YAML: all errors in one run, each with its place. Exit code 1 when there are any."""
    from gateway.shell.config import run_check

    code, text = run_check(path, format.value)
    typer.echo(text)
    raise typer.Exit(code)


@app.command()
def schema(profile: Annotated[bool, typer.Option("--profile", help="The schema of profiles instead.")] = False) -> None:
    """Print the JSON Schema that YAML editors complete and check with."""
    from gateway.shell.config import schema_text

    typer.echo(schema_text("profile" if profile else "site"), nl=False)


@app.command()
def run(
    path: SiteArgument,
    data: Annotated[Path, typer.Option(help="Where the journal and the channels' folders live.")],
    log_file: Annotated[Path | None, typer.Option(help="Append the log here instead of stderr.")] = None,
    capture: Annotated[
        Path | None, typer.Option(help="Record what goes over the wires in this file; at most 256 MiB.")
    ] = None,
) -> None:
    """Operate a site until SIGTERM or Ctrl-C. SIGHUP reads the YAML again: policies, sort plan, people and names."""
    from gateway.app import App, SiteRefused
    from gateway.host.front import Unusable
    from gateway.shell import logs
    from gateway.shell.config import as_text, load
    from gateway.shell.journal import JournalError

    stream = logs.set_up(log_file)
    loaded = load(path, os.environ)
    if loaded.site is None:
        typer.echo(as_text(loaded.problems, loaded.sources), err=True)
        raise typer.Exit(1)
    if capture is not None:
        try:
            capture.open("ab").close()
        except OSError as error:
            typer.echo(f"stellwerk: the capture can't be written: {error}: name another file", err=True)
            raise typer.Exit(2) from None
    try:
        site_app = App(loaded.site, data, logs.get(), capture=capture)
    except JournalError as error:
        typer.echo(f"stellwerk: {error}", err=True)
        raise typer.Exit(2) from None
    except SiteRefused as error:
        typer.echo(f"stellwerk: {path} can't be put in force: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        hint = "give the gateway's user the right to write there"
        typer.echo(f"stellwerk: data folder {data} can't be used ({error}): {hint}", err=True)
        raise typer.Exit(2) from None
    logs.get().info("starting", site=loaded.site.site.id, devices=len(loaded.site.devices), data=str(data))

    async def operate(stop: asyncio.Event) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, site_app.reload_asked.set)
        task = asyncio.create_task(site_app.run(lambda: load(path, os.environ)))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        task.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
        if not task.cancelled() and task.exception() is not None:
            raise task.exception() or SystemExit(3)

    try:
        _on_loop(operate)
    except (Unusable, OSError) as error:
        typer.echo(f"stellwerk: {error}", err=True)
        raise typer.Exit(2) from None
    except ExceptionGroup as group:
        failed = group.subgroup(JournalError)
        if failed is None:
            raise
        typer.echo(f"stellwerk: stopped: {failed.exceptions[0]}", err=True)
        raise typer.Exit(3) from None
    finally:
        stream.flush()


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=0, help="How many orders; 0 = for ever.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed sends the same orders.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=20.0, help="How fast plant time goes; 1 = real time.")] = 3.0,
    exit: Annotated[bool, typer.Option("--exit", help="End when all orders have ended.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    data: Annotated[Path | None, typer.Option(help="Keep journal, folders and logs here.")] = None,
    site: Annotated[Path | None, typer.Option(help="Another site than config/demo.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="KIND:DEVICE[:NUMBER]@START[+SECONDS]; may be repeated.")
    ] = None,
) -> None:
    """Show it all at work: simulated plant on real protocols, two hosts, people, a live table."""
    from gateway.demo import faults, summary
    from gateway.demo import run as demo_run
    from gateway.shell import logs
    from gateway.shell.config.profiles import SHIPPED
    from gateway.shell.journal import JournalError

    try:
        timetable = tuple(faults.parse(text) for text in fault or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="stellwerk-") as scratch:
        folder = data or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with logs.set_up(folder / "gateway.log", json=True):
            options = demo_run.Options(
                site=site or SHIPPED / "demo", data=folder, orders=orders, seed=seed, speed=speed, exit=exit, json=json,
                plain=not sys.stdout.isatty(), faults=timetable,
            )  # fmt: skip

            async def show(stop: asyncio.Event) -> dict[str, Any]:
                return await demo_run.run(options, stop)

            try:
                figures = _on_loop(show)
            except (demo_run.DemoFailed, JournalError) as error:
                typer.echo(f"stellwerk demo: {error}", err=True)
                raise typer.Exit(2) from None
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    typer.echo(summary.as_text(figures))
    raise typer.Exit(0 if not exit or demo_run.is_good(figures) else 1)


def _on_loop(main_part: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Run on uvloop; SIGTERM and Ctrl-C set the event that is handed in."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:  # not on Windows
        factory = asyncio.new_event_loop

    async def guarded() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await main_part(stop)

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(guarded())
