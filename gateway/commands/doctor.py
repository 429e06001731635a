"""`stellwerk doctor` and `stellwerk browse`: a look at the equipment from outside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drivers.probe import Examination, Found
    from gateway.probes import Probe
    from gateway.site import Site

AT_ONCE_MAX = 8
"""So many addresses are looked at at the same time; devices behind one address one after another."""
_MARK = {"good": "good", "doubtful": "DOUBT", "bad": "BAD", "skipped": "-"}
SiteArgument = Annotated[Path, typer.Argument(help="A site: one YAML file or a folder of them.")]


def doctor(
    path: SiteArgument,
    device: Annotated[list[str] | None, typer.Option(help="Only this device; may be repeated.")] = None,
    values: Annotated[bool, typer.Option("--values", help="Print good signals, too, with their values.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at each device: name, connection, security, identity, signals, latency, clock; and what to mend.

    Only reads. A PLC that takes one connection at a time is examined while the gateway is stopped. Exit code 1:
    something is bad. 2: the site can't be read.
    """
    from drivers.probe import as_json

    chosen = _chosen(_site(path), device or [])
    examinations = asyncio.run(_examine(chosen))
    if json:
        typer.echo(as_json(examinations), nl=False)
    else:
        for line in report(examinations, values=values):
            typer.echo(line)
    raise typer.Exit(0 if all(each.is_good for each in examinations) else 1)


def browse(
    path: SiteArgument,
    device: Annotated[str, typer.Argument(help="The device's id.")],
) -> None:
    """Show what a device offers: the OPC UA tree, the Modbus registers of the profile, the topics of a vehicle.

    Only reads. Exit code 1: the device can't be reached. 2: the site can't be read.
    """
    from drivers.link import LinkLostError

    (probe,) = _chosen(_site(path), [device])
    try:
        found = asyncio.run(_browse(probe))
    except LinkLostError as lost:
        typer.echo(f"stellwerk browse: {lost}. `stellwerk doctor --device {device}` says more", err=True)
        raise typer.Exit(1) from None
    for each in found:
        value = f" = {each.value}" if each.value else ""
        typer.echo(f"{'  ' * each.depth}{each.what}  {each.kind}{value}")


async def _browse(probe: Probe) -> list[Found]:
    return await probe.browse()


def report(examinations: Sequence[Examination], *, values: bool) -> Iterator[str]:
    """The findings as lines of text, a block a device, and how many were good."""
    for each in examinations:
        yield f"{each.device}  {each.protocol}  {each.address}"
        for check in each.checks:
            yield f"  {check.step:<10} {_MARK[check.verdict]:<6} {check.found}"
            if check.next_step:
                yield f"  {'':<10} {'':<6} → {check.next_step}"
        bad = sum(1 for reading in each.readings if reading.problem)
        for reading in each.readings:
            if reading.problem:
                yield f"    {reading.signal:<28} {reading.where:<24} BAD    {reading.problem}"
            elif values:
                yield f"    {reading.signal:<28} {reading.where:<24} good   {reading.value!r}"
        if each.readings:
            yield f"  {len(each.readings)} signals read, {bad} bad"
        yield ""
    good = sum(1 for each in examinations if each.is_good)
    yield f"{len(examinations)} devices looked at: {good} good, {len(examinations) - good} with something bad"


def _site(path: Path) -> Site:
    from gateway.shell.config import as_text, load

    loaded = load(path, os.environ)
    if loaded.site is None:
        typer.echo(as_text(loaded.problems, loaded.sources), err=True)
        raise typer.Exit(2)
    return loaded.site


def _chosen(site: Site, devices: Sequence[str]) -> list[Probe]:
    from gateway.probes import probes_for

    probes = probes_for(site)
    for device in devices:
        if device not in probes:
            known = ", ".join(probes) or "none"
            raise typer.BadParameter(f"{device!r} has no wire that could be looked at; those of this site: {known}")
    return [probe for name, probe in probes.items() if not devices or name in devices]


async def _examine(probes: Sequence[Probe]) -> list[Examination]:
    """All findings in the order of `probes`. Behind one address only one at a time: many PLCs take no second one, and
    the demo's broker drops one of several that come in the same moment."""
    rooms = {probe.address: asyncio.Lock() for probe in probes}
    places = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(probe: Probe) -> Examination:
        async with rooms[probe.address], places:
            return await probe.examine()

    return list(await asyncio.gather(*(one(probe) for probe in probes)))
