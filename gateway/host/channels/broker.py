"""A session with a broker that outlives connections: what is not acknowledged comes again.

Acknowledging by hand is paho's (`manual_ack_set`, `ack`); aiomqtt hands on neither, so both are used on the paho client
below it.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import aiomqtt

from gateway.host import broker
from gateway.site import BrokerSpec

WAITING_MAX = 65_535
"""More cannot be under way unacknowledged: that is all the packet ids there are."""
UNSURE_WAITING_MAX = 1_000
"""Messages with QoS 0 that may wait; one more is dropped, which QoS 0 allows."""


class Waiting(asyncio.Queue[aiomqtt.Message]):
    """What has come and is not dealt with."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if item.qos > 0 or self.qsize() < UNSURE_WAITING_MAX:
            super().put_nowait(item)


def session(spec: BrokerSpec, identifier: str) -> AbstractAsyncContextManager[aiomqtt.Client]:
    """A connected client whose messages wait for `acknowledge`. Raises BrokerAway for whatever goes wrong."""
    return broker.session(
        spec, identifier, _by_hand, clean_session=False, queue_type=Waiting, max_queued_incoming_messages=WAITING_MAX
    )


def _by_hand(client: aiomqtt.Client) -> None:
    client.pending_calls_threshold = 10_000  # answers are published together; that is meant
    client._client.manual_ack_set(True)


def acknowledge(client: aiomqtt.Client, message: aiomqtt.Message) -> None:
    """The broker may forget the message. A line that is gone is noticed elsewhere: then it comes again."""
    client._client.ack(message.mid, message.qos)
