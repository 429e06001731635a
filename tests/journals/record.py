"""Record a simulated day into a small journal that the tests replay.

    .venv/bin/python tests/journals/record.py NAME [--seed S] [--hours H] [--faults all|none|a,b]

Runs the demo site under the simulated plant and writes all inputs of the run, with the digests of what they drew, as
`tests/journals/NAME.sqlite.xz`. A file that exists is left alone: a recording is kept as long as its decisions are
wanted, and one that a deliberate change of the kernel has made wrong is deleted by hand and recorded anew.

The recording is a journal like any other: unpacked (`xz -dk`), `stellwerk replay` and `stellwerk journal` read it.
"""

from __future__ import annotations

import argparse
import asyncio
import lzma
import sys
import tempfile
from pathlib import Path

from gateway.shell.config import load
from gateway.shell.config.profiles import SHIPPED
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.simulation.disk import Disk
from gateway.simulation.faults import chosen
from gateway.simulation.run import Options, Run
from plc_simulators import layout

HERE = Path(__file__).parent
SITE = SHIPPED / "demo"
SUFFIX = ".sqlite.xz"
ROWS_MAX = 1_000


def main(arguments: list[str] | None = None) -> int:
    """Record one day; exit code 1 where the run broke a rule, 2 where the file exists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="what the recording is called")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=0.25)
    parser.add_argument("--faults", default="all")
    options = parser.parse_args(arguments)
    target = HERE / f"{options.name}{SUFFIX}"
    if target.exists():
        sys.stderr.write(f"{target} exists: delete it if its day is to be recorded anew\n")
        return 2
    loaded = load(SITE, {})
    assert loaded.site is not None, loaded.problems
    run = Run(loaded.site, layout.read(SITE, {}), options.seed, Options(options.hours, chosen(options.faults)))
    outcome = run.go()
    if outcome.violation is not None:
        sys.stderr.write(f"seed {options.seed} breaks a rule, nothing was recorded: {outcome.violation}\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(written(run.server.disk, Path(scratch), loaded.site.site.id))
        packed = lzma.compress((Path(scratch) / FILE).read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    target.write_bytes(packed)
    sys.stdout.write(
        f"{target.name}: {len(run.server.disk.records)} inputs, {outcome.crashes} crashes, {len(packed)} bytes\n"
    )
    return 0


async def written(disk: Disk, folder: Path, site_id: str) -> None:
    """What lies on the simulated disk, as a real journal in `folder`."""
    journal = SqliteJournal.open(folder, site_id)
    for begin in range(0, len(disk.records), ROWS_MAX):
        await journal.commit(disk.records[begin : begin + ROWS_MAX])
    await journal.commit([], disk.drawn)
    # The older one of the two that are left, so that there are inputs before it and after it.
    for seq, state in disk.snapshots[:1]:
        at_ns = next(at_ns for number, at_ns, _ in disk.records if number == seq)
        await journal.save_snapshot(seq, at_ns, state)
    await journal.close()


if __name__ == "__main__":
    sys.exit(main())
