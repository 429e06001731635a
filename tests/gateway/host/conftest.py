"""The one way in which tests here wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

WAIT_S = 10.0


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds; fails after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
def wait() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return wait_until
