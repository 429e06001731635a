"""The simulated plant as a process of its own, started as a user would start it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

READY_S = 60.0
ANSWER_S = 10.0
GOODBYE_S = 10.0
LINE_BYTES_MAX = 4 * 1024 * 1024


class Simulators:
    """`python -m plc_simulators` on free loopback ports. It ends when its standard input is closed, so it can't
    outlive this process, however this process ends."""

    def __init__(self, site: Path, seed: int, speed: float, log: Path) -> None:
        self._arguments = ["-m", "plc_simulators", str(site), "--seed", str(seed), "--speed", str(speed)]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self.environment: dict[str, str] = {}
        self.control_port = 0

    async def __aenter__(self) -> Simulators:
        """Start; raises RuntimeError with what it said when it does not become ready."""
        with self._log.open("ab") as errors:
            # A session of its own: Ctrl-C reaches it through us, once what it feeds has stopped.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await self._process.stdout.readline()
            ready = msgspec.json.decode(line)
            self.environment, self.control_port = ready["environment"], ready["control_port"]
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self.control_port, limit=LINE_BYTES_MAX
            )
        except (TimeoutError, msgspec.DecodeError, KeyError, OSError) as error:
            await self.__aexit__()
            tail = await asyncio.to_thread(self._log.read_text, "utf-8", "replace")
            raise RuntimeError(f"the simulators did not start: {error!r}\n{tail[-2000:]}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """One control request. Raises RuntimeError with the simulators' own words when they refuse."""
        assert self._reader is not None
        assert self._writer is not None
        async with self._turn, asyncio.timeout(ANSWER_S):
            self._writer.write(msgspec.json.encode({"op": op, **arguments}) + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        if not line:
            raise RuntimeError("the simulators have gone")
        answer: dict[str, Any] = msgspec.json.decode(line)
        if not answer.get("ok"):
            raise RuntimeError(f"{op}: {answer.get('error', 'refused')}")
        return answer
