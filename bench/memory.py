"""Does a process grow? Its resident memory at the beginning and at the end of a stretch of full load."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator

import psutil

SAMPLE_S = 1.0
_MIB = 2**20


class Memory:
    """Samples of this process, one a second; `first_mib` and `last_mib` are medians of the first and the last fifth."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._samples_mib: list[float] = []

    @property
    def first_mib(self) -> float:
        return statistics.median(self._samples_mib[: self._fifth])

    @property
    def last_mib(self) -> float:
        return statistics.median(self._samples_mib[-self._fifth :])

    @property
    def _fifth(self) -> int:
        return max(1, len(self._samples_mib) // 5)

    def sample(self) -> None:
        self._samples_mib.append(self._process.memory_info().rss / _MIB)

    def figures(self, bench: str) -> dict[str, float]:
        return {f"{bench}.rss_first_mib": self.first_mib, f"{bench}.rss_last_mib": self.last_mib}


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Memory]:
    """Samples while the block runs, and at least once."""
    memory = Memory()
    memory.sample()

    async def keep_sampling() -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            memory.sample()

    task = asyncio.create_task(keep_sampling())
    try:
        yield memory
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
