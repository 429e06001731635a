"""Parts of one thing that begin and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all parts until one ends or raises; return or raise that when the others have been cancelled and are gone.

    Not a TaskGroup: one of Python 3.11 leaves its task marked as being cancelled, so that nobody could tell it from a
    cancellation that was meant.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
