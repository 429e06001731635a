"""The way to a broker: a client by the YAML's words, connecting and leaving, and why it failed.

MQTT 3.1.1 over aiomqtt, which does not reconnect: a new client each time, with its files read anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt

from gateway.site import BrokerSpec, MqttTls

KEEPALIVE_S = 10
TIMEOUT_S = 10.0
_BAD_LOGIN, _NOT_AUTHORISED = 134, 135
"""The reason codes that paho makes of MQTT 3.1.1's 4 and 5."""


class BrokerAway(Exception):
    """There is no session with the broker, or it has ended; the text is for an operator."""


class _Named(ssl.SSLContext):
    """Checks the broker's certificate for this name, whatever host the connection goes to."""

    server_name = ""

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**named, "server_hostname": self.server_name})


@contextlib.asynccontextmanager
async def session(
    spec: BrokerSpec, identifier: str, prepare: Callable[[aiomqtt.Client], None] | None = None, **options: Any
) -> AsyncIterator[aiomqtt.Client]:
    """A connected client. `options` are aiomqtt's; `prepare` gets the client before it connects.

    Raises BrokerAway for whatever goes wrong with broker or files.
    """
    try:
        password, context = await asyncio.to_thread(_credentials, spec)
        client = aiomqtt.Client(
            spec.host, spec.port, username=spec.user or None, password=password, tls_context=context,
            identifier=identifier, keepalive=KEEPALIVE_S, timeout=TIMEOUT_S,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)], **options,
        )  # fmt: skip
        if prepare is not None:
            prepare(client)
        await _enter(client)
        try:
            yield client
        finally:
            await _leave(client)
    except (aiomqtt.MqttError, OSError) as error:
        raise BrokerAway(_why(spec, error)) from error


def _credentials(spec: BrokerSpec) -> tuple[str | None, ssl.SSLContext | None]:
    password = None
    if spec.user:
        try:
            password = Path(spec.password_file).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BrokerAway(
                f"the password of {spec.user} can't be read from {spec.password_file} ({error}): correct "
                "`password_file`, or the file's rights"
            ) from None
    return password, _context(spec.tls, spec.host) if isinstance(spec.tls, MqttTls) else None


def _context(tls: MqttTls, host: str) -> ssl.SSLContext:
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = tls.server_name or host
    try:
        context.load_verify_locations(tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        files = ", ".join(file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise BrokerAway(f"the TLS files can't be used ({error}): look at {files}") from None
    return context


async def _enter(client: aiomqtt.Client) -> None:
    """Connect. A cancellation waits for the attempt to end: paho's connecting thread can't be stopped."""
    attempt = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait([attempt])
        if attempt.exception() is None:
            await _leave(client)
        raise


async def _leave(client: aiomqtt.Client) -> None:
    """Disconnect; a connection that is already gone is what we want."""
    try:
        await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, OSError):
        pass  # gone already
    finally:
        # aiomqtt leaves the socket open when something that came over it has tripped paho.
        if client._client.socket() is not None:
            client._client.disconnect()


def _why(spec: BrokerSpec, error: Exception) -> str:
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    where = f"broker {spec.host}:{spec.port}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{where}: its certificate is not trusted ({cause.verify_message}): see `tls.ca_file`, `server_name`"
    if isinstance(cause, ssl.SSLError):
        return f"{where}: the TLS handshake failed ({cause.reason}): does it speak TLS on this port?"
    if getattr(getattr(error, "rc", None), "value", None) in (_BAD_LOGIN, _NOT_AUTHORISED):
        return f"{where}: it refuses the login ({error}): check `user`, `password_file` and its list of users"
    return f"{where}: {error or type(error).__name__}"
