"""The live view's static files, and the state machines that it draws.

The files are read once, compressed once, and served from memory. All of them stand below a folder that is named by a
hash of their content, so a browser keeps them for ever and another release is another folder; by their plain names
(`/web/work/`) they are there, too, and are asked about each time.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from gateway.contract import Struct
from gateway.devices.agv import AGV
from gateway.devices.conveyor import ZONE
from gateway.devices.machine import Table
from gateway.devices.packml import PACKML
from gateway.devices.sorter import LANE, TRACK
from gateway.devices.workstation import STATION
from gateway.dispatch.state import ORDER, TASK
from gateway.host.api.call import Call
from gateway.host.api.giving import content_tag, give
from gateway.host.api.offer import Offer
from gateway.host.api.problem import Refusal

FOLDER = FilePath(__file__).parent.parent / "web"
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
SCANS = "work/index.html"
"""The one page that may ask for the camera: it reads barcodes."""
CAMERA = "camera=(self), geolocation=(), microphone=()"
BYTES_MAX = 8 * 2**20
"""More than this is no page of ours, but a folder that somebody has put there by mistake."""
COMPRESSED_MIN = 512
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".md": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
"""Whatever has another ending is not served."""
_IMPORT = re.compile(r"""(?:^|[;\n])(?:import|export)[^"';()]*["'](\.[^"']+)["']""")
_TABLES: tuple[Table, ...] = (PACKML, ZONE, LANE, TRACK, AGV, STATION, ORDER, TASK)


class File(Struct, frozen=True):
    """One file as it is sent. `packed` is empty where compression gains nothing."""

    data: bytes
    packed: bytes
    tag: str
    media_type: str


class MachineView(Struct, frozen=True):
    """A state machine's table; rows are (trigger, from, to)."""

    states: tuple[str, ...]
    initial: str
    rows: tuple[tuple[str, str, str], ...]


def state_machines() -> dict[str, MachineView]:
    """The tables that the gateway runs on, by name."""
    return {table.name: MachineView(table.states, table.initial, table.rows) for table in _TABLES}


class Web:
    """The page at `/`, the files at `/web/…`."""

    def __init__(self, folder: FilePath = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, File] = {}
        self._release = ""
        self._reading = asyncio.Lock()

    def offer(self, offer: Offer) -> None:
        page = partial(offer.route, role="anybody", tag="web")
        page("GET", "//", self.index, answers={200: str}, media_type="text/html", any_query=True)
        offer.route("GET", "//web/state-machines.json", self.machines, "viewer", {200: dict}, tag="web")
        page("GET", "//web/{path:path}", self.file, answers={200: str}, media_type="*/*")

    async def index(self, call: Call) -> Response:
        """The live view."""
        await self._read()
        return _give(call, self._known("index.html"), kept=False)

    async def machines(self, call: Call) -> Response:
        """The state machines of devices, orders and steps, as tables."""
        return give(call, state_machines())

    async def file(self, call: Call, path: Annotated[str, Path(max_length=200)]) -> Response:
        """A file of the live view."""
        await self._read()
        first, _, rest = path.partition("/")
        if first == self._release:
            return _give(call, self._known(rest), kept=True)
        found = self._known(path)
        return _give(call, found, kept=False, camera=found is self._files.get(SCANS))

    def _known(self, name: str) -> File:
        found = self._files.get(f"{name}index.html" if name.endswith("/") else name)
        if found is None:
            raise Refusal("unknown", f"the live view has no file {name[:80]!r}", way_on="open /")
        return found

    async def _read(self) -> None:
        if self._files:
            return
        async with self._reading:
            if not self._files:
                self._release, self._files = await asyncio.to_thread(read, self._folder)


def read(folder: FilePath) -> tuple[str, dict[str, File]]:
    """All files below `folder` by their path, and the name of this release of them. Blocks.

    `{release}` in index.html becomes that name, `{modules}` a hint for each module that the page needs at once: without
    it a browser would find them one after the other. Raises ValueError where they are more than BYTES_MAX.
    """
    found: dict[str, bytes] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in MEDIA_TYPES and not path.name.startswith("."):
            found[path.relative_to(folder).as_posix()] = data = path.read_bytes()
            size += len(data)
            if size > BYTES_MAX:
                raise ValueError(f"{folder} has more than {BYTES_MAX} bytes: only the live view's files belong there")
    whole = blake2b(digest_size=8)
    for name, data in found.items():
        whole.update(f"{name}\0{len(data)}\0".encode() + data)
    release = whole.hexdigest()
    if "index.html" in found:
        hints = "\n".join(
            f'<link rel="modulepreload" href="/web/{release}/{name}">' for name in needed(found, "js/main.js")
        )
        text = found["index.html"].decode().replace("{release}", release).replace("{modules}", hints)
        found["index.html"] = text.encode()
    return release, {name: _file(name, data) for name, data in found.items()}


def needed(files: Mapping[str, bytes], first: str) -> list[str]:
    """The modules that `first` imports, and those that they import …, itself included; not what is loaded later."""
    ordered: dict[str, None] = {}
    ahead = [first]
    while ahead:
        name = ahead.pop()
        if name in ordered or name not in files:
            continue
        ordered[name] = None
        ahead += _imports(name, files[name].decode())
    return list(ordered)


def _imports(name: str, text: str) -> Iterable[str]:
    for found in _IMPORT.finditer(text):
        parts: list[str] = []
        for part in (PurePosixPath(name).parent / found[1]).parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        yield "/".join(parts)


def _file(name: str, data: bytes) -> File:
    packed = gzip.compress(data, 9, mtime=0) if len(data) >= COMPRESSED_MIN else b""
    if len(packed) >= len(data):
        packed = b""
    return File(data, packed, content_tag(data), MEDIA_TYPES[PurePosixPath(name).suffix])


def _give(call: Call, file: File, *, kept: bool, camera: bool = False) -> Response:
    headers = {
        "ETag": file.tag,
        "Cache-Control": "public, max-age=31536000, immutable" if kept else "no-cache",
        "Content-Security-Policy": CSP,
        "Vary": "Accept-Encoding",
    }
    if camera:
        headers["Permissions-Policy"] = CAMERA
    if file.tag in call.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed and _takes_gzip(call.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, 200, headers, file.media_type)
    return Response(file.data, 200, headers, file.media_type)


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
