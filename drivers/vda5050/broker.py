"""The way to the broker: who it is and who we are, connecting and leaving, and what to do where that fails.

The files are read at each connect, so that a certificate or a password that was renewed counts without a restart.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import aiomqtt

from drivers.link import LinkLostError
from gateway.site import AgvSpec, VdaConnection
from gateway.site.mqtt import MqttTls

KEEPALIVE_S = 2
"""A frozen broker is noticed within twice this time."""
CLOSED_EARLY = "the broker closed the connection before it answered"
TIMEOUT_S = 5.0
_WRONG_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_BAD_LOGIN, _NOT_AUTHORISED = 134, 135
"""The reason codes that paho makes of MQTT 3.1.1's 4 and 5."""


class _Named(ssl.SSLContext):
    """Checks the broker's certificate for this name, whatever host the connection goes to."""

    server_name = ""

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**named, "server_hostname": self.server_name})


def agreed(specs: list[AgvSpec]) -> VdaConnection:
    """The broker of all these vehicles. Raises ValueError where they name several, or several ways to it."""
    first = specs[0].connection
    brokers = {(spec.connection.host, spec.connection.port) for spec in specs}
    if len(brokers) != 1:
        raise ValueError(f"one driver serves one broker, these vehicles have {len(brokers)}: {sorted(brokers)}")
    for spec in specs[1:]:
        if credentials(spec.connection) != credentials(first):
            raise ValueError(
                f"{spec.id} and {specs[0].id} reach the broker {first.host}:{first.port} with different `tls`, `user` "
                "or `password_file`: one connection serves all vehicles of a broker, so they must be the same"
            )
    return first


def credentials(connection: VdaConnection) -> tuple[object, ...]:
    return connection.tls, connection.user, connection.password_file


def client(connection: VdaConnection, identifier: str, **named: Any) -> aiomqtt.Client:
    """A client that is not connected yet. Raises LinkLostError where a file can't be used; the text says which."""
    password = None
    if connection.user:
        try:
            password = Path(connection.password_file).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise LinkLostError(
                f"the password of {connection.user} can't be read from {connection.password_file} ({exc}): "
                "correct `password_file`, or the file's rights"
            ) from None
    tls = connection.tls
    made = aiomqtt.Client(
        connection.host,
        connection.port,
        username=connection.user or None,
        password=password,
        tls_context=_context(tls, connection.host) if isinstance(tls, MqttTls) else None,
        identifier=identifier,
        keepalive=KEEPALIVE_S,
        timeout=TIMEOUT_S,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        **named,
    )
    _notice_early_end(made)
    return made


def _notice_early_end(client: aiomqtt.Client) -> None:
    """Tell a connection attempt at once that the broker has closed before it answered: aiomqtt would wait it out."""
    paho, told = client._client, client._client.on_disconnect

    def on_disconnect(*about: Any) -> None:
        if not client._connected.done():
            client._connected.set_exception(aiomqtt.MqttError(CLOSED_EARLY))
        if told is not None:
            told(*about)

    paho.on_disconnect = on_disconnect


def _context(tls: MqttTls, host: str) -> ssl.SSLContext:
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = tls.server_name or host
    try:
        context.load_verify_locations(tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as exc:
        files = ", ".join(file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise LinkLostError(f"the TLS files can't be used ({exc}): look at {files}") from None
    return context


async def enter(client: aiomqtt.Client) -> None:
    """Connect. A cancellation waits for the attempt to end: paho's connecting thread can't be stopped."""
    attempt = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait([attempt])
        if attempt.exception() is None:
            await leave(client)
        raise


async def leave(client: aiomqtt.Client) -> None:
    """Disconnect; a connection that is already gone is what we want."""
    try:
        await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, OSError):
        pass  # gone already
    finally:
        # aiomqtt leaves the socket open, read and kept alive, when something that came over it has tripped paho.
        if client._client.socket() is not None:
            client._client.disconnect()


def why_refused(connection: VdaConnection, error: Exception) -> str:
    """What ended an attempt to connect, and what to do about it; for an operator."""
    # aiomqtt keeps the text of what paho raised, and not its kind; that is still its context.
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    tls = connection.tls if isinstance(connection.tls, MqttTls) else None
    if isinstance(error, LinkLostError):
        return str(error)
    if isinstance(cause, ssl.SSLCertVerificationError) and tls is not None:
        return _why_untrusted(tls, connection.host, cause)
    if tls is not None and isinstance(cause, ssl.SSLError | ConnectionResetError):
        return f"the TLS handshake failed ({_short(cause)}): does the broker speak TLS on this port?"
    code = getattr(getattr(error, "rc", None), "value", None)
    if code in (_BAD_LOGIN, _NOT_AUTHORISED):
        if connection.user:
            return (
                f"the broker refuses the login of {connection.user} ({error}): check `user`, the password in "
                f"{connection.password_file}, and the broker's list of users"
            )
        return f"the broker wants a login ({error}): set `user` and `password_file`"
    if isinstance(error, aiomqtt.MqttError) and "timed out" in str(error):
        return _why_mute(tls, error)
    if str(error) == CLOSED_EARLY:
        return _why_mute(tls, error)
    return f"{error or type(error).__name__}: is it running?"


def _why_untrusted(tls: MqttTls, host: str, cause: ssl.SSLCertVerificationError) -> str:
    if cause.verify_code in _WRONG_NAME:
        return (
            f"the broker's certificate is not made for {tls.server_name or host} ({cause.verify_message}): correct "
            "`host`, or give the name in the certificate as `tls.server_name`"
        )
    return (
        f"the broker's certificate is not trusted ({cause.verify_message}): is {tls.ca_file} the certificate of the "
        "authority that has signed it, and is this machine's clock right?"
    )


def _why_mute(tls: MqttTls | None, error: Exception) -> str:
    if tls is None:
        return f"{error}: it took the connection and does not speak MQTT with us; does it want TLS on this port?"
    own = "refuse the one in " + tls.cert_file if tls.cert_file else "ask for one: set `tls.cert_file`"
    return f"{error} after the TLS handshake: the broker may check the gateway's own certificate and {own}"


def _short(cause: OSError) -> str:
    return (cause.reason if isinstance(cause, ssl.SSLError) else cause.strerror) or str(cause)
