"""What else runs on this machine: cores that are busy with neither this process nor those that it started."""

from __future__ import annotations

import contextlib
import time

import psutil


class Machine:
    """Counts from its making. A bench beside others is slower than one alone, and should say so."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._begun_s = time.perf_counter()
        self._busy_s, self._own_s = _busy_s(), self._tree_s()

    def figures(self) -> dict[str, float]:
        """`others_cores`: so many cores' time on average; `cores`: so many are there."""
        wall_s = time.perf_counter() - self._begun_s
        others_s = _busy_s() - self._busy_s - (self._tree_s() - self._own_s)
        return {"machine.cores": psutil.cpu_count() or 1, "machine.others_cores": max(0.0, others_s / wall_s)}

    def _tree_s(self) -> float:
        """Of this process, of its children that have ended, and of those that run."""
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system
        return float(total)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
