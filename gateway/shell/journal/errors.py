"""What can go wrong with a journal. Every text says what to do next."""

from __future__ import annotations

from pathlib import Path


class JournalError(Exception):
    """The root of all journal errors."""


class JournalLocked(JournalError):
    """Another gateway process works on this folder. `pid` None: it has not written its number yet."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"journal {folder} is in use by {who}: stop that gateway first, or give this one another folder"
        )
        self.folder = folder
        self.pid = pid


class JournalForeign(JournalError):
    """The file is no journal of this site that this version can read. It was left as it was."""

    def __init__(self, path: Path, problem: str, next_step: str) -> None:
        super().__init__(f"{path} {problem}: {next_step}")
        self.path = path


class JournalUnusable(JournalError):
    """The journal can't be opened or written, and it is not for want of room."""

    def __init__(self, path: Path, problem: str, next_step: str) -> None:
        super().__init__(f"journal {path} can't be used ({problem}): {next_step}")
        self.path = path


class JournalFull(JournalError):
    """Nothing of the batch was taken (disk full, page limit, I/O error, file locked). The call may be made again."""

    def __init__(self, path: Path, problem: str, next_step: str = "make room on its disk or raise its limit") -> None:
        super().__init__(f"journal {path} took nothing ({problem}): {next_step}")
        self.path = path


class JournalDamaged(JournalError):
    """What is stored is not what was written. `seq` is the first input not to be trusted, 0 if unknown."""

    def __init__(self, path: Path, seq: int, problem: str) -> None:
        where = f"at input {seq}" if seq else "in its structure"
        super().__init__(
            f"journal {path} is damaged {where} ({problem}): keep the file, restore the last good copy, "
            "and have the disk checked"
        )
        self.path = path
        self.seq = seq


class JournalGap(JournalError):
    """Sequence numbers do not follow on one another. Nothing of the batch was stored."""

    def __init__(self, what: str, got: int, expected: int) -> None:
        super().__init__(f"{what} {got} is out of turn, {expected} was expected: nothing of it was stored")
        self.got = got
        self.expected = expected


class JournalClosed(JournalError):
    """The journal has been closed; nothing was stored."""
