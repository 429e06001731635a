"""Ending tasks for sure."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

TRIES_MAX = 10


async def end(*tasks: asyncio.Task[Any], grace_s: float = 0.1) -> None:
    """Cancel tasks until they are through; each try leaves them `grace_s` to tidy up. Their errors are dropped.

    One cancel is not enough: on Python 3.11 `asyncio.wait_for`, which MQTT calls sit in, loses a cancellation that
    comes together with its result. A task that outlasts all tries is named in the log and left alone.
    """
    open_tasks = {task for task in tasks if not task.done()}
    for _ in range(TRIES_MAX):
        if not open_tasks:
            break
        for task in open_tasks:
            task.cancel()
        _, open_tasks = await asyncio.wait(open_tasks, timeout=grace_s)
    for task in open_tasks:
        log.error("task %s does not end after %d cancellations", task.get_name(), TRIES_MAX)
    await asyncio.gather(*(task for task in tasks if task.done()), return_exceptions=True)
