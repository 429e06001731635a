"""Let the oldest inputs go and give their room back to the disk, with the gateway stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.shell.journal.lock import FolderLock
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.retention import Limits
from gateway.shell.journal.store import Store


@dataclass(frozen=True)
class Compacted:
    """The file's size and the number of its oldest input, before and after."""

    bytes_before: int
    bytes_after: int
    first_before: int
    first_after: int


def compact(path: Path, bytes_max: int) -> Compacted:
    """Make room until the inputs take `bytes_max` at the most, as a running gateway does, then shrink the file.

    Raises `JournalLocked` while a gateway works on it, `JournalFull` where the disk has no room for the file's second
    copy while it is written anew (the inputs that had to go are gone then), and other JournalErrors.
    """
    lock = FolderLock.taken(path.parent)
    try:
        with Reader(path) as reader:
            site_id, first_before = reader.site_id, reader.first_seq
        bytes_before = path.stat().st_size
        store = Store(path, site_id, Limits(bytes_max=bytes_max))
        try:
            while store.make_room():
                pass
            store.give_back()
        finally:
            store.close()
        return Compacted(bytes_before, path.stat().st_size, first_before, store.base_seq + 1)
    finally:
        lock.release()
