"""SQLite's and the system's errors in the house's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from gateway.shell.journal.errors import JournalDamaged, JournalError, JournalFull, JournalUnusable


def explained(path: Path, error: apsw.Error | OSError, *, reading: bool = False) -> JournalError:
    """What `error` means to whoever runs a gateway, and what to do about it."""
    problem = f"{type(error).__name__}: {error}"
    if reading and isinstance(error, apsw.IOError):
        next_step = "have the disk checked, then try again; `stellwerk journal repair` saves what can still be read"
        return JournalUnusable(path, problem, next_step)
    if isinstance(error, (apsw.FullError, apsw.IOError)):
        return JournalFull(path, problem)
    # SQLError: a table is gone, for our statements are right.
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.SQLError)):
        return JournalDamaged(path, 0, problem)
    if isinstance(error, apsw.BusyError):
        # As with a full disk nothing was taken and waiting helps: no reason for a gateway to end.
        return JournalFull(path, problem, "end the other program that holds the file locked")
    return JournalUnusable(path, problem, "check the path and that the gateway's user may write there")


@contextmanager
def told(path: Path, *, reading: bool = False) -> Iterator[None]:
    """What SQLite or the system raises in here comes out as a `JournalError`."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise explained(path, error, reading=reading) from error
