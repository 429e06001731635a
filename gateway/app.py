"""Composition root: the only place that knows which driver serves which device."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from drivers.modbus import ModbusDriver
from drivers.opcua import OpcuaDriver
from drivers.vda5050.driver import VdaDriver
from gateway.contract import DeviceId, Driver, Sink
from gateway.host.folder import FolderChannel
from gateway.kernel import Kernel
from gateway.shell import clock
from gateway.shell.inbox import Inbox
from gateway.shell.journal import Journal
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.logs import Log
from gateway.shell.runtime import Runtime, replay
from gateway.shell.supervisor import keep_running
from gateway.shell.version import installed_version
from gateway.site import AgvSpec, ConveyorSpec, Profile, RobotCellSpec, Site, SorterSpec


def drivers_for(site: Site, sink: Sink) -> dict[DeviceId, Driver]:
    """One driver a PLC, one a broker for all vehicles behind it. Devices on `loopback` have none here."""
    profiles: dict[str, Profile] = {p.profile: p for p in site.profiles}
    found: dict[DeviceId, Driver] = {}
    fleets: dict[tuple[str, int], list[AgvSpec]] = {}
    for spec in site.devices:
        match spec:
            case ConveyorSpec(driver="modbus"):
                found[spec.id] = ModbusDriver(spec, profiles[spec.profile], sink, clock.now_ns)
            case SorterSpec(driver="opcua") | RobotCellSpec(driver="opcua"):
                found[spec.id] = OpcuaDriver(spec, profiles[spec.profile], sink, clock.now_ns)
            case AgvSpec(driver="vda5050"):
                fleets.setdefault((spec.connection.host, spec.connection.port), []).append(spec)
            case _:
                pass
    for fleet in fleets.values():
        driver = VdaDriver(fleet, profiles, sink, clock.now_ns, clock.utc_now)
        found.update({spec.id: driver for spec in fleet})
    return found


def restore(site: Site, journal: Journal, log: Log) -> Kernel:
    """The kernel as the journal left it: newest snapshot, then every input after it."""
    snapshot = journal.latest_snapshot()
    kernel = Kernel(site) if snapshot is None else Kernel.restore(site, snapshot[1])
    replayed = replay(kernel, journal, snapshot[0] if snapshot else 0)
    log.info("restored", from_snapshot=snapshot[0] if snapshot else 0, replayed=replayed)
    return kernel


class App:
    """A site, its journal, its drivers and its channels, ready to run."""

    def __init__(self, site: Site, data: Path, log: Log) -> None:
        """Raises JournalError when the data folder can't be used."""
        self.site = site
        self._log = log
        self._journal = SqliteJournal.open(data / "journal", site.site.id)
        kernel = restore(site, self._journal, log)
        self.inbox = Inbox(log)
        self.drivers: Mapping[DeviceId, Driver] = drivers_for(site, self.inbox)
        self.runtime = Runtime(kernel, self._journal, self.inbox, self.drivers, log)
        self.channels = [FolderChannel(c.id, data / "inbox" / c.id, self.runtime.ask, log) for c in site.channels]

    async def run(self) -> None:
        """Operate until cancelled."""
        async with asyncio.TaskGroup() as group:
            for channel in self.channels:
                group.create_task(keep_running(channel.run, f"channel {channel.client}", self._log))
            await self.runtime.run(installed_version())
