"""The gateway of `bench.host` in a process of its own: `python -m bench.host_apart FOLDER`.

Prints its port and an API key when it is ready; each line on standard input is answered with one when the webhook's
host has been told of everything. Ends with standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from bench.host_gateway import operating
from gateway.shell import logs

_ROOT = Path(__file__).resolve().parent.parent


class Apart:
    """That process, seen from the bench."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, key: str) -> None:
        self._process = process
        self.port = port
        self.key = key

    async def all_told(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"told?\n")
        await self._process.stdout.readline()


@contextlib.asynccontextmanager
async def apart(folder: Path) -> AsyncIterator[Apart]:
    """Raises SystemExit where it does not start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.host_apart", str(folder), cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    first = (await process.stdout.readline()).split()
    if len(first) != 2:
        raise SystemExit("the gateway in a process of its own did not start")
    try:
        yield Apart(process, int(first[0]), first[1].decode())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _main(folder: Path) -> None:
    async with operating(folder) as hosted:
        print(hosted.port, hosted.key, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await hosted.all_told()
            print("told", flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with logs.set_up(place.with_suffix(".log"), json=True):
        uvloop.run(_main(place))
