"""A folder as a tray: what lies in it complete, and where it goes when it has been dealt with. Blocks: for a thread."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from structlog.typing import FilteringBoundLogger as Log

GROWING_S = 600.0
"""A file that has not come to rest for so long is told in the log, once."""
WATCHED_MAX = 100_000
"""Files whose coming to rest is watched at a time; further ones wait."""
REASON_LENGTH_MAX = 4_000


DONE, FAILED = "done", "failed"


class Tray:
    """`done/` and `failed/` below the folder are made here. Raises OSError where that can't be.

    Links, folders and names that begin with a dot are never taken: a link could lead anywhere.
    """

    def __init__(self, folder: Path, pattern: str, settle_ms: int, client: str, log: Log) -> None:
        self.folder = folder
        self._pattern = pattern
        self._settle_s = settle_ms / 1000
        self._client = client
        self._log = log
        self._seen: dict[str, _Seen] = {}
        for name in (DONE, FAILED):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def waiting(self) -> list[Path]:
        """The complete files, oldest name first."""
        now_s = time.monotonic()
        found: list[Path] = []
        there: set[str] = set()
        for path in sorted(self.folder.glob(self._pattern)):
            if path.name.startswith(".") or path.name in (DONE, FAILED):
                continue
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue  # taken away by whoever put it there
            if not stat.S_ISREG(about.st_mode):
                self.refuse(path, "no file but a folder, a link or the like: put the file itself here")
                continue
            there.add(path.name)
            if not self._settle_s or self._is_at_rest(path.name, (about.st_size, about.st_mtime_ns), now_s):
                found.append(path)
        for name in self._seen.keys() - there:
            del self._seen[name]
        return found

    def _is_at_rest(self, name: str, size_and_time: tuple[int, int], now_s: float) -> bool:
        seen = self._seen.get(name)
        if seen is None:
            if len(self._seen) < WATCHED_MAX:
                self._seen[name] = _Seen(size_and_time, now_s)
            return False
        if seen.size_and_time != size_and_time:
            seen.size_and_time, seen.since_s = size_and_time, now_s
        if not seen.told and now_s - seen.first_s > GROWING_S and now_s - seen.since_s < self._settle_s:
            seen.told = True
            self._log.warning(
                "a file does not come to rest: it is taken when it does not change for a while",
                channel=self._client, file=name, settle_ms=round(self._settle_s * 1000),
            )  # fmt: skip
        return now_s - seen.since_s >= self._settle_s

    def refuse(self, path: Path, problem: str) -> None:
        """Into `failed/`, with the reason beside it."""
        self._log.warning("file refused", channel=self._client, file=path.name, reason=problem[:REASON_LENGTH_MAX])
        put(self.folder / FAILED / f"{path.stem}.reason.txt", problem[:REASON_LENGTH_MAX].encode() + b"\n")
        path.replace(self.folder / FAILED / path.name)

    def done(self, path: Path) -> None:
        path.replace(self.folder / DONE / path.name)


class _Seen:
    __slots__ = ("first_s", "since_s", "size_and_time", "told")

    def __init__(self, size_and_time: tuple[int, int], now_s: float) -> None:
        self.size_and_time = size_and_time
        self.first_s = now_s
        self.since_s = now_s
        self.told = False


def put(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
