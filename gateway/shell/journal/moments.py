"""Moments of a journal as people write and read them: the number of an input, or a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.shell.journal.errors import JournalUnusable
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.schema import FILE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at_ns: int) -> str:
    """ISO 8601, UTC, with milliseconds."""
    moment = _EPOCH + timedelta(microseconds=at_ns // 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seq_of(reader: Reader, text: str) -> int:
    """The number of the last input up to the moment `text`: a number, or an ISO time (UTC where it names no zone).

    Raises ValueError for a text that is neither or a number that is not in the journal.
    """
    if text.isdigit():
        seq, first, last = int(text), reader.first_seq, reader.last_seq
        if not first - 1 <= seq <= last:
            raise ValueError(f"input {seq} is not in the journal, which has {first} to {last}")
        return seq
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = "2026-11-03T14:05:00Z"
        raise ValueError(f"{text!r} is neither an input's number nor an ISO time such as {example}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seq = reader.seq_at((moment - _EPOCH) // timedelta(microseconds=1) * 1_000 + 999)
    if seq < reader.first_seq and reader.first_seq > 1:
        raise ValueError(f"the journal goes back to input {reader.first_seq} only, which came after {text}")
    return seq


def locate(path: Path) -> Path:
    """The journal's file, from the data folder, the journal's folder or the file itself. Raises `JournalUnusable`."""
    try:
        for found in (path, path / FILE, path / "journal" / FILE):
            if found.is_file():
                return found
    except OSError as error:
        raise JournalUnusable(path, str(error), "give your user the right to read it") from error
    problem = "there is no journal" if path.exists() else "there is nothing of that name"
    raise JournalUnusable(path, problem, f"name the data folder, the folder with {FILE} in it, or the file")
