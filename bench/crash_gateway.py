"""The gateway as the process that a site runs: started, killed, and known only by its log and its files."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.dispatch.state import State
from gateway.shell.config import load
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.recovery import restore

DEMO_SITE = Path(__file__).resolve().parent.parent / "config" / "demo"
STELLWERK = Path(sys.executable).with_name("stellwerk")
READY_S_MAX = 60.0
STOP_S_MAX = 30.0
LOOK_S = 0.01


class LogTail:
    """The lines that a growing JSON log has got since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self.unreadable: list[str] = []

    def lines(self) -> list[dict[str, Any]]:
        """Whole lines only; one that a kill has cut short is kept in `unreadable`."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        self._read_to += len(content)
        found = []
        for line in content.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                self.unreadable.append(line.decode("utf-8", "replace"))
        return found


class Gateway:
    """`stellwerk run` on the demo site and one data folder, life after life."""

    def __init__(self, data: Path, environment: Mapping[str, str]) -> None:
        self.data = data
        self.log = LogTail(data / "gateway.log")
        self.errors = data / "stderr.log"
        self.starts = 0
        self.ready_s: list[float] = []
        """From the start of the process to its first input, for each life that got so far."""
        self.replayed: list[int] = []
        self.complaints: list[str] = []
        self.bad_stops: list[str] = []
        self.ends: dict[str, list[str]] = {}
        """Order → its terminal states in the log."""
        self.is_ready = False
        self._environment = {**os.environ, "STELLWERK_HTTP_PORT": "0", **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._begun_s = 0.0

    async def start(self) -> None:
        """Begin a life; returns when the process exists."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.is_ready = False
        self.starts += 1
        self._begun_s = time.monotonic()
        with self.errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                str(STELLWERK), "run", str(DEMO_SITE), "--data", str(self.data),
                "--log-file", str(self.data / "gateway.log"),
                env=self._environment, stdin=asyncio.subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._begun_s

    async def kill(self) -> None:
        """SIGKILL, at once; returns when it is dead. Raises RuntimeError where it was so before."""
        process = self._alive()
        process.kill()
        await process.wait()
        self.look()

    async def stop(self) -> None:
        """SIGTERM, as an operator stops it. Raises RuntimeError where it had ended by itself, TimeoutError."""
        process = self._alive()
        process.terminate()
        async with asyncio.timeout(STOP_S_MAX):
            code = await process.wait()
        self.look()
        if code != 0:
            self.bad_stops.append(f"exit code {code}: {self._last_words()}")

    async def end(self) -> None:
        """Whatever has happened, leave no process behind."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _alive(self) -> asyncio.subprocess.Process:
        process = self._process
        if process is None or process.returncode is not None:
            code = None if process is None else process.returncode
            raise RuntimeError(f"the gateway has ended by itself with exit code {code}: {self._last_words()}")
        return process

    def _last_words(self) -> str:
        return self.errors.read_text("utf-8", "replace")[-2_000:] if self.errors.exists() else ""

    async def watch(self) -> None:
        """Read the log for ever, and see to it that the process lives."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    async def ready(self) -> None:
        """Wait until it has taken its first input. Raises RuntimeError and TimeoutError."""
        async with asyncio.timeout(READY_S_MAX):
            while not self.is_ready:
                self._alive()
                await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Take in what the log says since the last look."""
        for line in self.log.lines():
            event = line.get("event")
            if event == "order" and line.get("state") in ("finished", "failed", "cancelled"):
                self.ends.setdefault(line["order"], []).append(line["state"])
            elif event == "restored":
                self.replayed.append(line.get("replayed", 0))
            elif event == "started" and not self.is_ready:
                self.is_ready = True
                self.ready_s.append(self.age_s)
            if line.get("level") in ("error", "critical"):
                self.complaints.append(json.dumps(line)[:1_000])

    async def state(self) -> State:
        """The kernel's memory as the journal gives it back; the process must have ended. Raises JournalError."""
        site = load(DEMO_SITE, self._environment).site
        assert site is not None, "the demo site is good"
        journal = SqliteJournal.open(self.data / "journal", site.site.id)
        try:
            return restore(site, journal).kernel.state
        finally:
            await journal.close()
