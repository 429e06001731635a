"""The files of a site: found, read and decoded, with a limit on each and on their number."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from gateway.shell.config.problem import Problem

FILE_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 1000
SUFFIXES = (".yaml", ".yml")

# The line breaks of YAML 1.1, which libyaml counts lines by; str.splitlines() knows others besides.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Source:
    """A file that has been read. `name` is its path as it is shown to people."""

    name: str
    text: str
    _lines: list[str] | None = field(default=None, repr=False)

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), empty beyond the end."""
        if self._lines is None:
            self._lines = _BREAK.split(self.text)
        return self._lines[number - 1] if 1 <= number <= len(self._lines) else ""


def find(path: Path) -> tuple[list[Path], list[Problem]]:
    """The YAML files of a site: the file itself, or those of a folder by name. No recursion, no hidden files."""
    try:
        if not path.is_dir():
            return [path], []
        found = sorted(
            entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")
        )
    except (OSError, ValueError) as error:
        return [], [_whole_file(path, f"the folder cannot be read: {_reason(error)}", "check its path and rights")]
    if not found:
        hint = "name a folder that holds the site's .yaml files, or one such file"
        return [], [_whole_file(path, "no .yaml or .yml file in this folder", hint)]
    if len(found) > FILES_MAX:
        message = f"{len(found)} YAML files in one folder; the limit is {FILES_MAX}"
        return [], [_whole_file(path, message, "is this the right folder? Join small files")]
    return found, []


def read(path: Path) -> Source | Problem:
    """The file's text, or why it cannot be had. UTF-8 only; a byte order mark is let pass."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return _whole_file(path, "not a file", "name a .yaml file or a folder of them")
        with path.open("rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return _whole_file(path, "no such file or folder", "check the path")
    except PermissionError:
        return _whole_file(path, "no permission to read this file", "let the user that runs stellwerk read it")
    except (OSError, ValueError) as error:
        return _whole_file(path, f"cannot be read: {_reason(error)}", "check the path and the disk")
    if len(raw) > FILE_BYTES_MAX:
        limit_mib = FILE_BYTES_MAX // 1024 // 1024
        return _whole_file(path, f"larger than {limit_mib} MiB, the limit of one file", "split it into several files")
    try:
        return Source(str(path), raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        good = _BREAK.split(raw[: error.start].decode("utf-8-sig", "replace"))
        column = len(good[-1]) + 1
        message = f"not UTF-8: byte 0x{raw[error.start]:02x} cannot be read"
        return Problem(str(path), len(good), column, column + 1, message, "save the file as UTF-8")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _whole_file(path: Path, message: str, hint: str) -> Problem:
    return Problem(str(path), 1, 1, 2, message, hint)
