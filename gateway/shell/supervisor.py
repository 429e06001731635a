"""Keeps a part that must run for ever running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.shell.logs import Log

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0


async def keep_running(part: Callable[[], Awaitable[None]], name: str, log: Log) -> None:
    """Run `part`; if it fails or ends, say so and start it again, waiting longer each time. Ends by cancellation."""
    wait_s = RESTART_FIRST_S
    while True:
        began_s = asyncio.get_running_loop().time()
        try:
            await part()
        except Exception as error:  # fate: logged with its trace, and the part is started again
            log.error("part failed and is started again", part=name, wait_s=wait_s, exc_info=error)
        else:
            log.error("part ended and is started again", part=name, wait_s=wait_s)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError  # a library inside has swallowed it
        ran_s = asyncio.get_running_loop().time() - began_s
        wait_s = RESTART_FIRST_S if ran_s > RESTART_MAX_S else min(wait_s * 2, RESTART_MAX_S)
        await asyncio.sleep(wait_s)
