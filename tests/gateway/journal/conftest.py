"""A disk for tests: it remembers what was synced, can lose the rest, and can fail on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest


class FaultyDisk(apsw.VFS):
    """SQLite's view of a disk. Register it as the default VFS while it is in use."""

    def __init__(self) -> None:
        super().__init__("faulty-disk", "unix")
        self.synced: dict[str, bytes] = {}
        """Contents of each file as of its last sync: all that a power cut leaves."""
        self.sync_fails = False
        self.write_fails = False
        self.syncs_of_wal = 0
        self.writes_left: int | None = None
        """After so many writes none gets through any more; None: all do."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def power_cut(self, folder: Path) -> None:
        """Leave in `folder` what the disk would hold after a power cut now."""
        for path, content in self.synced.items():
            if Path(path).exists():
                (folder / Path(path).name).write_bytes(content)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.writes_left is not None:
            self._disk.writes_left -= 1
        if self._disk.write_fails or (self._disk.writes_left is not None and self._disk.writes_left < 0):
            raise apsw.IOError("the disk does not write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self._disk.sync_fails:
            raise apsw.IOError("the disk does not sync")
        super().xSync(flags)
        self._disk.synced[self._path] = Path(self._path).read_bytes()
        self._disk.syncs_of_wal += self._path.endswith("-wal")


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    """SQLite works on this disk while the test runs."""
    faulty = FaultyDisk()
    apsw.set_default_vfs("faulty-disk")
    yield faulty
    apsw.set_default_vfs("unix")
    faulty.unregister()
