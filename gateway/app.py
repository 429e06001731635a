"""Composition root: the only place that knows which driver serves which device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from drivers.capture import Capture
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.wire import Wires
from drivers.opcua.driver import OpcuaDriver
from drivers.vda5050.driver import VdaDriver
from gateway.contract import AlarmEvent, DeviceId, Driver, Effect, LinkFigures, OrderEvent, Sink, StepEvent
from gateway.host.front import Front
from gateway.shell import clock
from gateway.shell.clock import SteadyClock
from gateway.shell.config import Loaded
from gateway.shell.inbox import Inbox
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.logs import Log
from gateway.shell.metrics import LinkMetrics, serve
from gateway.shell.recovery import restore
from gateway.shell.runtime import Runtime
from gateway.shell.supervisor import keep_running
from gateway.shell.version import installed_version
from gateway.site import AgvSpec, ConveyorSpec, MetricsSpec, Profile, RobotCellSpec, Site, SorterSpec, encode_site


def drivers_for(site: Site, sink: Sink, steady: SteadyClock, capture: Capture | None = None) -> dict[DeviceId, Driver]:
    """One driver a PLC, with one connection for those of one Modbus address; one a broker for all vehicles behind it.
    Devices on `loopback` have none here. All links are recorded in `capture`."""
    profiles: dict[str, Profile] = {p.profile: p for p in site.profiles}
    found: dict[DeviceId, Driver] = {}
    fleets: dict[tuple[str, int], list[AgvSpec]] = {}
    wires = Wires(capture=capture)
    for spec in site.devices:
        match spec:
            case ConveyorSpec(driver="modbus"):
                found[spec.id] = ModbusDriver(spec, profiles[spec.profile], sink, steady.now_ns, wires=wires)
            case SorterSpec(driver="opcua") | RobotCellSpec(driver="opcua"):
                found[spec.id] = OpcuaDriver(spec, profiles[spec.profile], sink, steady.now_ns, capture=capture)
            case AgvSpec(driver="vda5050"):
                fleets.setdefault((spec.connection.host, spec.connection.port), []).append(spec)
            case _:
                pass
    for fleet in fleets.values():
        driver = VdaDriver(fleet, profiles, sink, steady.now_ns, clock.utc_now, capture=capture)
        found.update({spec.id: driver for spec in fleet})
    return found


class SiteRefused(Exception):
    """The YAML takes away what loads, trips or orders still hang on. Nothing was changed."""


class App:
    """A site, its journal, its drivers and its channels, ready to run."""

    def __init__(self, site: Site, data: Path, log: Log, *, capture: Path | None = None) -> None:
        """`capture`: record in this file what goes over the wires.

        Raises JournalError when the data folder can't be used, SiteRefused when the journal is not done with what
        the YAML no longer has, OSError when the capture's file can't be opened."""
        self.site = site
        self.reload_asked = asyncio.Event()
        self._log = log
        self._journal = SqliteJournal.open(data / "journal", site.site.id, bytes_max=site.journal.disk_mib_max * 2**20)
        self._missed: list[tuple[int, int, int, Effect]] = []
        restored = restore(site, self._journal, self._heard_before)
        kernel = restored.kernel
        if refusal := kernel.site_refusal(site):
            raise SiteRefused(refusal)
        log.info("restored", from_snapshot=restored.snapshot_seq, replayed=restored.replayed)
        steady = SteadyClock(kernel.state.now_ns)
        if problem := steady.problem():
            log.warning("clock went back", text=problem)
        self.inbox = Inbox(log)
        self._capture = None if capture is None else Capture(capture, steady.now_ns)
        self.drivers: Mapping[DeviceId, Driver] = drivers_for(site, self.inbox, steady, self._capture)
        self.runtime = Runtime(
            kernel, self._journal, self.inbox, self.drivers, log, steady, encode_site(site), restored.replayed
        )
        self.front: Front | None = None
        """What hosts and people reach; there once `ready` is set."""
        self.ready = asyncio.Event()
        self._data = data

    def _heard_before(self, seq: int, number: int, at_ns: int, effect: Effect) -> None:
        """Whoever died before us may not have told others of this."""
        if isinstance(effect, OrderEvent | StepEvent | AlarmEvent):
            self._missed.append((seq, number, at_ns, effect))

    async def _reload_when_asked(self, reread: Callable[[], Loaded]) -> None:
        """Read the YAML again and put what may change while running in force: policies, sort plan, people, names."""
        while True:
            await self.reload_asked.wait()
            self.reload_asked.clear()
            # Thousands of devices take a second to read; the loop has plants to serve meanwhile.
            loaded = await asyncio.to_thread(reread)
            if loaded.site is None:
                first, count = loaded.problems[0], len(loaded.problems)
                more = f" (and {count - 1} more)" if count > 1 else ""
                problem = f"{first.where()}: {first.message}{more}"
                self.runtime.not_reloaded(f"{problem}. Mend it, try it with `stellwerk check`, then reload again")
            else:
                self.runtime.reload(encode_site(loaded.site))

    def _figures(self) -> list[LinkFigures]:
        # One driver serves many vehicles: each driver is asked once.
        drivers = {id(driver): driver for driver in self.drivers.values()}
        return [figures for driver in drivers.values() for figures in driver.figures()]

    async def _offer_metrics(self, spec: MetricsSpec) -> None:
        await serve(LinkMetrics(self._figures), spec.host, spec.port, self._log)

    async def _open_front(self) -> Front:
        front = await Front.open(
            self.site, self._data, self.runtime, self._missed, self._log, installed_version(), self._figures
        )
        self._missed.clear()
        for listener in front.listeners:
            self.runtime.listen(listener)
        for keep in front.keepers:
            self.runtime.before_snapshot(keep)
        self.front = front
        return front

    async def run(self, reread: Callable[[], Loaded] | None = None) -> None:
        """Operate until cancelled. `reread` reads the site again whenever `reload_asked` is set.

        Raises Unusable or OSError where the data folder can't be used.
        """
        front = await self._open_front()
        try:
            await self._operate(front, reread)
        finally:
            # After the last snapshot, which waits for what was heard to be durable.
            await front.close()

    async def _operate(self, front: Front, reread: Callable[[], Loaded] | None) -> None:
        async with asyncio.TaskGroup() as group:
            if reread is not None:
                group.create_task(keep_running(partial(self._reload_when_asked, reread), "reload", self._log))
            if self.site.metrics is not None:
                group.create_task(keep_running(partial(self._offer_metrics, self.site.metrics), "metrics", self._log))
            for name, part in front.parts:
                group.create_task(keep_running(part, name, self._log))
            self.ready.set()
            await self.runtime.run(installed_version())
