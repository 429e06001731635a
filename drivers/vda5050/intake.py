"""The way of a received message from the MQTT library to us, without a queue and a task for each.

aiomqtt puts what it receives in a queue of a class that its user may choose, and takes it out again with a task per
message: most of what a message costs. This queue holds nothing: what is put in is handled at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiomqtt


class Intake(asyncio.Queue[aiomqtt.Message]):
    """Always empty. `handle` is called within the library's own reading, so it must not wait or publish.

    What it raises ends the connection, as the library does it; `failed` keeps it for whoever is to be told.
    """

    def __init__(self, handle: Callable[[aiomqtt.Message], None]) -> None:
        super().__init__(1)
        self._handle = handle
        self.failed: Exception | None = None

    def __call__(self, maxsize: int) -> Intake:  # noqa: ARG002
        """What the library does to make its queue."""
        return self

    def put_nowait(self, item: aiomqtt.Message) -> None:
        try:
            self._handle(item)
        except Exception as failed:
            # Its fate: raised on, and by the listener once more when the library has turned it into a lost connection.
            self.failed = failed
            raise
