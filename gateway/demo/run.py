"""Puts the demo together: starts the plant, the gateway, the hosts and the people; ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from gateway.app import App
from gateway.contract import AnnounceLoad
from gateway.demo import faults, summary, table
from gateway.demo.people import People
from gateway.demo.simulators import Simulators
from gateway.demo.stream import Stream, answers
from gateway.shell import clock, logs
from gateway.shell.config import as_text, load
from gateway.shell.supervisor import keep_running

FRAMES_PER_S = 4
SETTLE_S = 2.0
END_S_MIN = 240.0
END_S_PER_ORDER = 20.0
START_S_MAX = 30.0
API_PORT = 8080
KEY_NAME, ACCOUNT_NAME = "demo", "admin"


class Options(msgspec.Struct, frozen=True):
    """What the command line asks for. `orders` 0: for ever."""

    site: Path
    data: Path
    orders: int
    seed: int
    speed: float
    exit: bool
    json: Path | None
    plain: bool
    faults: tuple[faults.Fault, ...] = ()


class DemoFailed(Exception):
    """The demo could not start; the text says why."""


async def run(options: Options, stop: asyncio.Event) -> dict[str, Any]:
    """Run until the orders are done (with `exit`) or `stop` is set; returns the summary."""
    options.data.mkdir(parents=True, exist_ok=True)
    console = Console()
    began_s = clock.monotonic_s()
    simulators = Simulators(options.site, options.seed, options.speed, options.data / "simulators.log")
    try:
        async with simulators:
            app = _compose(options, simulators)
            return await _operate(options, app, simulators, stop, console, began_s)
    except RuntimeError as error:
        raise DemoFailed(str(error)) from error


def _compose(options: Options, simulators: Simulators) -> App:
    port = {"STELLWERK_HTTP_PORT": str(_port())}
    loaded = load(options.site, {**port, **os.environ, **simulators.environment})
    if loaded.site is None:
        raise DemoFailed(as_text(loaded.problems, loaded.sources))
    return App(loaded.site, options.data, logs.get())


async def _operate(
    options: Options, app: App, plant: Simulators, stop: asyncio.Event, console: Console, began_s: float
) -> dict[str, Any]:
    runtime = app.runtime
    inbox = options.data / "inbox"
    stream = Stream(options.orders, options.seed, options.speed, inbox, plant, lambda: runtime.kernel.state)
    people = People(runtime.ask, lambda: runtime.kernel.state, options.seed, options.speed)
    gateway = asyncio.create_task(app.run())
    await asyncio.wait({gateway, ready := asyncio.create_task(app.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    await _put_a_load_for_the_newcomer(app, plant)
    await _tell_the_way_in(app, console)
    parts = [
        gateway,
        asyncio.create_task(keep_running(people.run, "people", logs.get())),
        asyncio.create_task(stream.run()),
        *(asyncio.create_task(faults.keep(fault, plant, runtime.ask)) for fault in options.faults),
    ]
    try:
        await _watch(options, app, stream, stop, console, parts, began_s)
        plant_says, stats = await plant.ask("loads"), await plant.ask("stats")
        figures = summary.collect(runtime.kernel.state, app.inbox, stream.loads, plant_says, stats)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
    figures["refusals"] = {
        key: reason for host in ("wms", "shop") for key, (ok, reason) in answers(inbox, host).items() if not ok
    }
    figures["wall_s"] = round(clock.monotonic_s() - began_s, 1)
    figures |= {"seed": options.seed, "speed": options.speed, "sent": stream.sent, "gateway": runtime.status}
    return figures


def _port() -> int:
    """The API's usual port, or one that is free where somebody else has that."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", API_PORT))
        except OSError:
            return 0
    return API_PORT


async def _tell_the_way_in(app: App, console: Console) -> None:
    """Print the API's address and a first order, with a key that is made for this demo."""
    front = app.front
    if front is None or front.server is None or front.access is None:
        return
    async with asyncio.timeout(START_S_MAX):
        while not front.server.port:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)
    password = secrets.token_urlsafe(12)
    people = {account.name for account in await front.access.accounts.list()}
    if ACCOUNT_NAME in people:
        await front.access.accounts.change(ACCOUNT_NAME, password=password)
    else:
        await front.access.accounts.add(ACCOUNT_NAME, password, "admin")  # the first account has to be one
    names = {key.name for key in await front.access.keys.list()}
    keys = front.access.keys
    key = await (keys.renew(KEY_NAME, 0) if KEY_NAME in names else keys.add(KEY_NAME, "operator"))
    url = f"http://127.0.0.1:{front.server.port}"
    order = '{"order": "MY-1", "steps": [{"step": "ship", "kind": "sort", "load": "HELLO", "to": "BERLIN"}]}'
    lines = (
        f"the site  {url}   (to act: log in as {ACCOUNT_NAME} with {password})",
        f"API       {url}/docs",
        "an order  "
        f"curl {url}/api/v1/orders -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{order}'",
        f"its way   curl {url}/api/v1/orders/MY-1/explain",
    )
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


async def _put_a_load_for_the_newcomer(app: App, plant: Simulators) -> None:
    """Something to order that no simulated host cares for."""
    load, rack = "HELLO", "RACK-1"
    if load in app.runtime.kernel.state.loads:
        return
    code = "00340123450000000000"
    await plant.ask("put", load=load, barcodes=[code], location=rack)
    await app.runtime.ask("demo", "announce-HELLO", AnnounceLoad(load, rack, (code,)))


async def _watch(
    options: Options,
    app: App,
    stream: Stream,
    stop: asyncio.Event,
    console: Console,
    parts: list[asyncio.Task[None]],
    began_s: float,
) -> None:
    """Draw until it is over: all orders ended, a stop, a part that died, or the time limit of `--exit`."""
    limit_s = began_s + END_S_MIN + END_S_PER_ORDER * max(options.orders, 1) / options.speed
    quiet_since_s: float | None = None
    with (
        Live(console=console, auto_refresh=False, transient=True)
        if not options.plain
        else contextlib.nullcontext() as live
    ):
        while not stop.is_set():
            now_s = clock.monotonic_s()
            if live is not None:
                live.update(table.draw(app.runtime.kernel.state, now_s - began_s, app.runtime.status), refresh=True)
            for part in parts:
                if part.done() and (part.cancelled() or part.exception() is not None):
                    raise RuntimeError(f"a part of the demo failed: {part.exception() if not part.cancelled() else ''}")
            if options.exit and _over(app, stream):
                quiet_since_s = quiet_since_s or now_s
                if now_s - quiet_since_s > SETTLE_S:
                    return
            else:
                quiet_since_s = None
            if options.exit and now_s > limit_s:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1 / FRAMES_PER_S)


def _over(app: App, stream: Stream) -> bool:
    """Everything that was sent has been taken in and has ended."""
    state = app.runtime.kernel.state
    taken = state.tally.orders_accepted + state.tally.orders_refused
    return stream.done and taken >= stream.sent and state.open_orders() == 0


def is_good(figures: dict[str, Any]) -> bool:
    """Nothing open, nothing lost, nothing done twice, every order sent was accepted and ended."""
    orders = figures["orders"]
    return (
        orders["open"] == 0
        and orders["accepted"] >= figures["sent"]  # whoever watches may order something, too
        and figures["loads"]["lost"] == 0
        and not figures["loads"]["misplaced"]
        and figures["commands"]["duplicated"] == 0
        and figures["gateway"] == "healthy"
    )
