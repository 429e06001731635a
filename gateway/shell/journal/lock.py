"""The lock that keeps a second gateway off a journal's folder, held for the life of the process.

An flock dies with its process, so a crash leaves nothing to clean up. Worker processes have to be spawned,
not forked: a forked child would share the lock and hold it beyond its parent's death.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.shell.journal.errors import JournalLocked, JournalUnusable


class FolderLock:
    """An exclusive lock on `folder`/lock. The file holds the owner's process id for whoever is refused."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `JournalLocked`, or OSError where the file can't be written."""
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid(self._fd)
            os.close(self._fd)
            raise JournalLocked(folder, pid) from None
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            os.close(self._fd)
            raise

    @classmethod
    def taken(cls, folder: Path) -> FolderLock:
        """Take the lock. Raises `JournalLocked`, and `JournalUnusable` where the user may not write."""
        try:
            return cls(folder)
        except OSError as error:
            next_step = "give the gateway's user the right to write there, or choose another folder"
            raise JournalUnusable(folder, str(error), next_step) from error

    def release(self) -> None:
        """Let go; a second call does nothing. The file stays: removing it would race with the next owner."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _pid(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
