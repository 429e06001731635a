"""SQLite's way to the simulated disk: a VFS that tells it of every write, sync, truncation and removal.

SQLite goes on working on real files, which are never synced: they are the page cache, and what a cut leaves is the
simulated disk's affair. After the cut everything goes on as if nothing had happened, unrecorded: the process that
lost its power lives on in a world that nobody looks at, so that its threads can be ended in the ordinary way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest import mock

import apsw

from bench.power_disk import Content, Disk

BESIDE = "beside"
"""The kind of a file that lies beside the database and is written without SQLite."""
VFS_NAME = "power"
_BELOW = "unix"
_SYNCS_FOLDER = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
"""Kinds of file whose first sync includes their folder, if they were opened to be created."""

Moment = Callable[[str, str], None]
"""Called with the kind of file (wal, file, folder, beside) and what is about to happen to it or just has; the power
may go right here."""


class Power:
    """One folder with the power on. `moment` may switch it off; it is called with the lock held."""

    def __init__(self, folder: Path, disk: Disk, moment: Moment, *, deaf: bool = False) -> None:
        self.folder = folder
        self.disk = disk
        self.deaf = deaf
        """Syncs are answered and nothing is done: a disk that lies."""
        self.on = True
        self.removing = False
        """The transaction under way takes inputs out."""
        self.lock = threading.RLock()
        """Whoever writes, the opener or the journal's own thread, and whoever cuts."""
        self._moment = moment

    def has(self, path: str | Path) -> bool:
        """Whether this is a file of the folder, and the power still on."""
        return self.on and Path(path).parent == self.folder

    def changed(self, content: Content, offset: int, data: bytes | None, kind: str) -> None:
        """A write, or a truncation to `offset` where `data` is None."""
        with self.lock:
            if self.on:
                self.disk.change(content, offset, data)
                self._moment(kind, "in write")

    def synced(self, content: Content | None, kind: str, *, with_folder: bool) -> None:
        """A file's sync, with that of its folder where SQLite does it; None: the folder's alone."""
        with self.lock:
            if self.on:
                self._moment(kind, "before sync")
            if self.on:
                if content is not None and not self.deaf:
                    content.sync()
                if with_folder and not self.deaf:
                    self.disk.sync_names()
                self._moment(kind, "after sync")
                self.removing = self.removing and kind != "wal"

    def removed(self, name: str) -> None:
        with self.lock:
            if self.on:
                self.disk.remove(name)
                self._moment("folder", "in write")

    def path_synced(self, path: Path) -> None:
        """By `os.fsync`: the folder, the one above it, or a file that SQLite knows nothing of."""
        if path == self.folder:
            self.synced(None, "folder", with_folder=True)
        elif path == self.folder.parent:
            with self.lock:
                if self.on and not self.deaf:
                    self.disk.named = True
        elif path.parent == self.folder:
            with self.lock:
                content = self.disk.become(path.name, path.read_bytes()) if self.on else None
                self.synced(content, BESIDE, with_folder=False)

    def renamed(self, path: Path, to: Path) -> None:
        """By `os.replace`, within the folder."""
        with self.lock:
            if self.on and path.parent == to.parent == self.folder:
                self.disk.become(path.name, to.read_bytes())
                self.disk.rename(path.name, to.name)
                self._moment(BESIDE, "in write")


class PowerVfs(apsw.VFS):
    """The VFS. `power` is what it tells; None: nobody. `deaf`: see `Power`."""

    def __init__(self, *, deaf: bool) -> None:
        super().__init__(VFS_NAME, _BELOW)
        self.deaf = deaf
        self.power: Power | None = None

    def switch_on(self, folder: Path, disk: Disk, moment: Moment) -> Power:
        """From now on `disk` is told what happens in `folder`."""
        self.power = Power(folder, disk, moment, deaf=self.deaf)
        return self.power

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _File(self.power if path and self.power and self.power.has(path) else None, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's name
        power = self.power
        super().xDelete(filename, False)
        if power is not None and power.has(filename):
            power.removed(Path(filename).name)
            if syncdir:
                power.path_synced(power.folder)


class _File(apsw.VFSFile):
    """A file as SQLite sees it."""

    def __init__(
        self, power: Power | None, path: str | None, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(_BELOW, name, flags)
        self._power = power
        self._kind = "wal" if path and path.endswith("-wal") else "file"
        self._content = power.disk.content(Path(path).name) if power and path else Content()
        self._syncs_folder = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _SYNCS_FOLDER)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        super().xWrite(data, offset)
        if self._power is not None:
            self._power.changed(self._content, offset, bytes(data), self._kind)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        super().xTruncate(newsize)
        if self._power is not None:
            self._power.changed(self._content, newsize, None, self._kind)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802 - apsw's name
        if self._power is not None:
            self._power.synced(self._content, self._kind, with_folder=self._syncs_folder)
            self._syncs_folder = False


Fault = Literal["", "normal", "deaf"]
"""What is wrong in a control: every connection has `synchronous=NORMAL`, or the disk ignores all syncs."""


@contextmanager
def plugged(fault: Fault = "") -> Iterator[PowerVfs]:
    """SQLite works on the simulated disk meanwhile.

    Folders and files beside the database are no business of SQLite's VFS, so `os.fsync` and `os.replace` are listened
    to as well. A file beside it is noticed when it is synced or renamed.
    """
    vfs = PowerVfs(deaf=fault == "deaf")

    def fsync(fd: int) -> None:
        if vfs.power is not None:
            vfs.power.path_synced(Path(f"/proc/self/fd/{fd}").readlink())

    def replace(path: str | Path, to: str | Path) -> None:
        os.rename(path, to)  # noqa: PTH104 - pathlib's way of renaming is what is being listened to
        if vfs.power is not None:
            vfs.power.renamed(Path(path), Path(to))

    def connected(connection: apsw.Connection) -> None:
        connection.set_update_hook(changed)
        if fault == "normal":
            _keep_normal(connection)

    def changed(action: int, _: str, table: str, __: int) -> None:
        if vfs.power is not None and table == "inputs":
            vfs.power.removing = action == apsw.SQLITE_DELETE

    apsw.set_default_vfs(VFS_NAME)
    apsw.connection_hooks.append(connected)
    try:
        with mock.patch.object(os, "fsync", fsync), mock.patch.object(os, "replace", replace):
            yield vfs
    finally:
        apsw.connection_hooks.remove(connected)
        apsw.set_default_vfs(_BELOW)
        vfs.unregister()


def _keep_normal(connection: apsw.Connection) -> None:
    """What SQLite users set for speed; the journal's own wish for FULL is not heard."""
    connection.pragma("synchronous", "normal")

    def allowed(action: int, name: str | None, value: str | None, *_: str | None) -> int:
        deaf = action == apsw.SQLITE_PRAGMA and name == "synchronous" and value is not None
        return int(apsw.SQLITE_IGNORE if deaf else apsw.SQLITE_OK)

    connection.set_authorizer(allowed)
