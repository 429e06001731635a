"""`stellwerk simulate`: the kernel under a simulated plant with every fault, from seeds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

if TYPE_CHECKING:
    from gateway.simulation.campaign import Plan
    from gateway.simulation.run import Outcome

EVENTS_SHOWN = 25
SHRUNK_MAX = 3
"""So many failing seeds are shrunk; the others are listed."""


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many runs.")] = 20,
    first: Annotated[int, typer.Option(min=0, help="The first run's seed; the others count up from it.")] = 1,
    hours: Annotated[float, typer.Option(min=0.05, max=1_000.0, help="Simulated hours a run.")] = 0.5,
    faults: Annotated[str, typer.Option(help="all, none, or kinds parted by commas.")] = "all",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    keep: Annotated[
        str | None, typer.Option(help="Only the faults with these numbers, parted by commas; '' for none of them.")
    ] = None,
    shrink: Annotated[bool, typer.Option(help="Look for the fewest faults that make a failing seed fail.")] = True,
    site: Annotated[Path | None, typer.Option(help="Another site than config/demo.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the production kernel against a simulated plant, with faults, crashes and power cuts, on virtual time.

    Every run comes from its seed alone, and the rules are checked after every step. Exit code 1 when one is broken.
    """
    from gateway.shell.config.profiles import SHIPPED
    from gateway.simulation.campaign import Figures, Plan, SiteUnusable, run_all
    from gateway.simulation.faults import chosen
    from gateway.simulation.run import Options

    try:
        kept = None if keep is None else tuple(int(number) for number in keep.split(",") if number.strip())
        options = Options(hours=hours, kinds=chosen(faults), keep=kept)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    # The demo site's addresses come from the environment; a run must not depend on them.
    env = tuple(sorted(os.environ.items())) if site is not None else ()
    plan = Plan(site or SHIPPED / "demo", env, first, seeds, options, workers)
    figures = Figures(plan)
    try:
        for outcome in run_all(plan):
            figures.add(outcome)
            if outcome.violation is not None:
                _tell(plan, outcome, faults, shrink=shrink and len(figures.violations) <= SHRUNK_MAX)
            if sys.stderr.isatty():
                typer.echo(f"\r{figures.seeds} of {seeds} runs, {len(figures.violations)} failed ", err=True, nl=False)
    except SiteUnusable as error:
        typer.echo(f"stellwerk simulate: {error}", err=True)
        raise typer.Exit(2) from None
    found = figures.as_dict()
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    typer.echo(
        f"{found['seeds']} runs, {found['sim_hours']} simulated hours in {found['core_s']} core seconds "
        f"({found['times_real_time']} × real time), {found['inputs']} inputs ({found['inputs_per_s']}/s)\n"
        f"{found['faults_total']} faults, {found['crashes']} crashes of which {found['power_cuts']} power cuts; "
        f"orders {found['orders']}; {found['violations']} violations"
    )
    if found["never_fired"]:
        typer.echo(f"never struck: {', '.join(found['never_fired'])} (more seeds or hours)")
    raise typer.Exit(1 if figures.violations else 0)


def _tell(plan: Plan, outcome: Outcome, faults: str, *, shrink: bool) -> None:
    """The story of a violation, and how to see it again."""
    from gateway.simulation.campaign import shrink as shrunk

    if shrink and len(outcome.timetable) > 1:
        typer.echo(f"seed {outcome.seed} fails; looking for fewer faults …", err=True)
        outcome = shrunk(plan, outcome, lambda left: typer.echo(f"  {left} faults are enough", err=True))
    violation = outcome.violation
    assert violation is not None, "only a failing run has a story"
    typer.echo(f"\nVIOLATION of '{violation.checker}', seed {outcome.seed}, after {violation.at_ns / 1e9:.3f} s:")
    typer.echo(f"  {violation.text}")
    for fault in outcome.timetable:
        typer.echo(f"  {fault}")
    typer.echo("  last events:")
    for event in violation.events[-EVENTS_SHOWN:]:
        typer.echo(f"    {event[:300]}")
    numbers = ",".join(str(fault.index) for fault in outcome.timetable)
    where = "" if not plan.env else f" --site {plan.site}"
    typer.echo(
        f"  again: stellwerk simulate --seeds 1 --first {outcome.seed} --hours {plan.options.hours:g} "
        f"--faults {faults} --keep '{numbers}' --no-shrink{where}"
    )
