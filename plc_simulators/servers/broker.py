"""The MQTT broker inside the rig: amqtt on a free loopback port, anonymous, nothing else switched on."""

from __future__ import annotations

from typing import Any

from amqtt.broker import Broker
from amqtt.errors import BrokerError

from plc_simulators.servers.ports import HOST, free_port

PORT_TRIES = 5


class EmbeddedBroker:
    """One broker; `port` is known after `open`."""

    def __init__(self) -> None:
        self.port = 0
        self._broker: Any = None

    async def open(self) -> None:
        """Listen. Raises BrokerError when no port could be had."""
        for tries_left in reversed(range(PORT_TRIES)):
            port = free_port()
            broker = Broker(
                {
                    "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 64}},
                    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
                }
            )
            try:
                await broker.start()
            except BrokerError:
                # Somebody else took the port between the look and the use.
                if not tries_left:
                    raise
                continue
            self.port, self._broker = port, broker
            return

    async def close(self) -> None:
        """Cut every connection and end."""
        if self._broker is not None:
            broker, self._broker = self._broker, None
            await broker.shutdown()
