"""A session with a broker for what is told: nothing is remembered there, and a will says when we are gone."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import aiomqtt

from gateway.host import broker
from gateway.site import BrokerSpec

INCOMING_MAX = 100


def session(spec: BrokerSpec, identifier: str, will: aiomqtt.Will) -> AbstractAsyncContextManager[aiomqtt.Client]:
    """A connected client with a clean session. Raises BrokerAway for whatever goes wrong with broker or files."""
    return broker.session(spec, identifier, clean_session=True, will=will, max_queued_incoming_messages=INCOMING_MAX)
