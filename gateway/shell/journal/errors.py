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
            f"journal {path} is damaged {where} ({problem}): nothing was changed. `stellwerk journal verify {path}` "
            "says what is sound, `stellwerk journal repair` saves it into a new file; have the disk checked"
        )
        self.path = path
        self.seq = seq


class JournalOutdated(JournalError):
    """The file is sound but older than what has been seen of it: an old copy was put back, or it is gone."""

    def __init__(self, path: Path, problem: str, otherwise: str = "") -> None:
        """`otherwise`: what to do where the newer file is lost."""
        otherwise = otherwise or (
            f"Where that one is lost, `stellwerk journal repair {path.parent}` goes on with what is there, and says "
            "what a person must do"
        )
        super().__init__(
            f"journal {path} {problem}: put the newer file back (with its -wal, if there is one). {otherwise}"
        )
        self.path = path


class JournalGap(JournalError):
    """Numbers that do not follow on one another (nothing of the batch was stored), or inputs that are not there."""

    def __init__(self, what: str, got: int, expected: int, text: str = "") -> None:
        """`text` in place of the usual words."""
        super().__init__(text or f"{what} {got} is out of turn, {expected} was expected: nothing of it was stored")
        self.got = got
        self.expected = expected

    @classmethod
    def compacted(cls, after_seq: int, first_seq: int) -> JournalGap:
        """Somebody asks for inputs that have made room for newer ones."""
        text = (
            f"input {after_seq + 1} is no longer in the journal: older ones have made room for newer ones, the oldest "
            f"that is left is {first_seq}. Begin there, or raise the site's limit for the journal to keep more"
        )
        return cls("input", after_seq + 1, first_seq, text)

    @classmethod
    def beyond(cls, after_seq: int, last_seq: int) -> JournalGap:
        """Somebody asks for what follows on an input that does not exist yet."""
        return cls("input", after_seq, last_seq, f"there is no input {after_seq} yet, the journal ends with {last_seq}")


class JournalClosed(JournalError):
    """The journal has been closed; nothing was stored."""
