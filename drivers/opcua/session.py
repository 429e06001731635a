"""An OPC UA session's client: how it is made, how it is left with nothing open, and why it failed in words."""

from __future__ import annotations

import contextlib

from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState

from drivers.opcua.calls import WIRE_ERRORS
from gateway.site import OpcuaConnection

SESSION_TIMEOUT_MS = 30_000
"""A server forgets a session that was not closed after this time."""


def client_for(connection: OpcuaConnection) -> Client:
    """A client that has not connected yet, and never reconnects by itself."""
    timeout_s = connection.timeout_ms / 1000
    client = Client(connection.url, timeout=timeout_s, watchdog_intervall=timeout_s)
    client.name = client.description = "Stellwerk"
    client.session_timeout = SESSION_TIMEOUT_MS
    return client


async def close(client: Client) -> None:
    """Leave nothing open, cancelled or not; towards a dead server this takes up to two timeouts."""
    # Where asyncua has given the connection up by itself, its `disconnect_socket` does nothing: the socket stays.
    protocol = client.uaclient.protocol
    try:
        with contextlib.suppress(*WIRE_ERRORS):
            if client.state is UaClientState.CONNECTED:
                await client.disconnect()
            else:
                await client.close_session()
    finally:
        client.disconnect_socket()
        if protocol is not None and protocol.transport is not None:
            protocol.disconnect_socket()


def explain(where: str, exc: BaseException, timeout_ms: int) -> str:
    """Why a session ended, and what to look at."""
    if isinstance(exc, ConnectionRefusedError):
        return f"{where} refused the connection: is the PLC on and the address right?"
    if isinstance(exc, TimeoutError):
        return f"{where} did not answer within {timeout_ms} ms: is the PLC on the network?"
    name = type(exc).__name__
    if name in _LOGIN_REFUSED:
        return f"{where}: the server refuses the login ({name}): check `user` and its files in `security`"
    return f"{where}: {name} {exc}".rstrip() + ": is the PLC on and its OPC UA server running?"


_LOGIN_REFUSED = frozenset({"BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadUserAccessDenied"})
