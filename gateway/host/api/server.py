"""The API on the wire: uvicorn in the loop that runs already."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger as Log

from gateway.host.api.wire import BoundedProtocol
from gateway.site import HttpSpec
from gateway.site.http import HttpTls

STOP_S_MAX = 5
KEEP_ALIVE_S = 30
BACKLOG = 512
WS_BYTES_MAX = 4 * 1024
UNREAD_MS_MAX = 30_000


class PortTaken(Exception):
    """Somebody else listens there already."""


class BadCertificate(Exception):
    """The files for TLS can't be used."""


class _Uvicorn(uvicorn.Server):
    """Signals are for whoever runs the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """Serves `app` at the address of `spec`."""

    def __init__(self, app: ASGIApp, spec: HttpSpec, log: Log, listening: Callable[[str], None] | None = None) -> None:
        """`listening` is told of the address, whenever it begins to listen there."""
        self._app = app
        self._spec = spec
        self._log = log
        self._listening = listening
        self.port = 0
        """Where it listens, once it does."""

    async def run(self) -> None:
        """Serve until cancelled, then let requests end for STOP_S_MAX seconds at the most.

        Raises PortTaken, BadCertificate, or OSError where the address can't be had.
        """
        certificate: dict[str, str] = {}
        if isinstance(self._spec.tls, HttpTls):
            await asyncio.to_thread(_check, self._spec.tls)
            certificate = {"ssl_certfile": self._spec.tls.cert_file, "ssl_keyfile": self._spec.tls.key_file}
        sockets = await _listen(self._spec.host, self._spec.port)
        try:
            self.port = int(sockets[0].getsockname()[1])
            config = uvicorn.Config(
                self._app,
                http=BoundedProtocol,
                ws="websockets-sansio",
                ws_max_size=WS_BYTES_MAX,
                ws_per_message_deflate=False,  # it would cost four times as much as the feed itself
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S_MAX,
                backlog=BACKLOG,
                **certificate,  # type: ignore[arg-type]
            )
            await self._serve(_Uvicorn(config), sockets)
        finally:
            for each in sockets:
                each.close()

    async def _serve(self, server: _Uvicorn, sockets: list[socket.socket]) -> None:
        host = f"[{self._spec.host}]" if ":" in self._spec.host else self._spec.host
        scheme = "https" if isinstance(self._spec.tls, HttpTls) else "http"
        serving = asyncio.create_task(server.serve(sockets))
        url = self._spec.public_url or f"{scheme}://{host}:{self.port}"
        self._log.info("API offered", url=f"{url}/docs")
        if self._listening is not None:
            self._listening(url)
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            # Twice the time: once for requests to end, once for what uvicorn cancels then.
            _, late = await asyncio.wait({serving}, timeout=2 * STOP_S_MAX)
            for task in late:
                server.force_exit = True
                task.cancel()
                await asyncio.wait({task})


async def _listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that `host` stands for; of port 0, the same free one for all."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # A client that never reads would keep its connection for ever after we have closed it.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS_MAX)
            each.bind((address[0], port, *address[2:]))
            port = port or int(each.getsockname()[1])
            each.listen(BACKLOG)
            each.setblocking(False)
    except OSError as error:
        for each in sockets:
            each.close()
        if error.errno == errno.EADDRINUSE:
            problem = f"{host}:{port} is taken: stop whatever listens there, or give the API another `http: port:`"
            raise PortTaken(problem) from error
        raise OSError(error.errno, f"the API can't listen on {host}:{port}: {error.strerror}") from error
    return sockets


def _check(tls: HttpTls) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        problem = f"certificate {tls.cert_file} with key {tls.key_file} can't be used ({error}): PEM files are wanted"
        raise BadCertificate(problem) from error
