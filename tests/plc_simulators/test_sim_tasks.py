"""Ending tasks that lose a cancellation, and ones that never let go."""

from __future__ import annotations

import asyncio

import pytest

from plc_simulators.servers.tasks import TRIES_MAX, end


async def stubborn(losses: int) -> int:
    """Swallow that many cancellations before giving in; returns after one more."""
    for _ in range(losses):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()
    return losses


async def test_a_task_that_lost_a_cancellation_is_ended_all_the_same() -> None:
    tasks = [asyncio.create_task(stubborn(losses)) for losses in (0, 1, 3)]
    await asyncio.sleep(0)
    await end(*tasks, grace_s=0.01)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_never_ends_is_named(caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(stubborn(TRIES_MAX), name="mule")
    await asyncio.sleep(0)
    await end(task, grace_s=0.01)
    assert "mule" in caplog.text
    await end(task, grace_s=0.01)
    assert task.cancelled()
