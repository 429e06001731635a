"""The conformance case of hostile bytes: ten thousand frames from a seeded generator, over as many connections as
they take. What is judged: `run` goes on, nothing piles up, and no report holds what its record does not allow."""

from __future__ import annotations

import asyncio
import logging
import random
import time

import psutil
from conformance import Stage
from conformance_endings import driver_tasks
from rig_device import Trick

FRAMES = 10_000
BURSTS = (1, 25, 200)
PAUSES_S = (0.0, 0.02, 0.1)
"""A driver notices a bad frame when it looks at the connection next; with a pause it gets further each time."""
MISSED_MAX = 10
FRAMES_A_CONNECTION_MAX = 400
ATTACK_S = 60.0
"""It takes five to fifteen seconds; a loaded machine gets more, and then the case fails."""
SEED = 20_260_101
MUTATED_SHARE = 0.1
"""So many of the device's own replies are changed on their way while the attack goes on."""
GROWN_MB_MAX = 150
"""The device and the broker live in this process, too."""
TASKS_MORE_MAX = 5


class Attack:
    """Counts what was thrown at the driver: frames written to a connection that it held open."""

    def __init__(self, stage: Stage) -> None:
        self.rig = stage.rig
        self.rng = random.Random(SEED)
        self.sent = 0
        self.seeds: list[bytes] = []

    def changed(self, piece: bytes) -> tuple[bytes, ...]:
        """A reply of the device as it arrives."""
        if len(self.seeds) < 200:
            self.seeds.append(piece)
        is_first = piece[:1] in self.rig.openers
        if self.rng.random() >= (self.rig.early_share if is_first else 1.0) * MUTATED_SHARE:
            return (piece,)
        self.sent += 1
        return (self.rig.frame(self.rng, [piece]),)

    async def go_on(self, end_s: float) -> None:
        """Bursts and pauses: most when the device has answered on a connection, some right after its beginning."""
        rng, proxy = self.rng, self.rig.proxy
        missed, fresh = 0, self.sent
        while self.sent < FRAMES and time.monotonic() < end_s:
            count = rng.choice(BURSTS)
            burst = b"".join(self.rig.frame(rng, self.seeds) for _ in range(count))
            throw = proxy.inject if rng.random() < 0.2 * self.rig.early_share else proxy.say
            reached = throw(burst) > 0
            self.sent += count * reached
            missed = 0 if reached else missed + 1
            if missed > MISSED_MAX or self.sent - fresh > FRAMES_A_CONNECTION_MAX:
                # What says that it goes on for ever, or opens nothing, is read as one frame until a time-out.
                proxy.cut()
                missed, fresh = 0, self.sent
            await asyncio.sleep(rng.choice(PAUSES_S))


async def hostile_frames(stage: Stage) -> None:
    rig = stage.rig
    driver = rig.driver(stage.sink, hasty=True)
    run = stage.running(driver)
    await stage.comes_up()
    for level in (1, 2, 3):
        await stage.shows(level)
    tasks, rss_mb = len(driver_tasks()), _rss_mb()
    attack = Attack(stage)
    attack.seeds += list(rig.proxy.captured)[-50:]
    rig.proxy.on_reply = attack.changed
    logging.disable(logging.CRITICAL)  # what the libraries say of ten thousand bad frames
    try:
        await attack.go_on(time.monotonic() + ATTACK_S)
    finally:
        logging.disable(logging.NOTSET)
    rig.proxy.on_reply = None
    assert not run.done(), repr(run.exception())
    assert attack.sent >= FRAMES, f"only {attack.sent} frames in {ATTACK_S:.0f} s"
    assert all(rig.is_valid(report) for report in stage.reports)
    rig.proxy.cut()
    await stage.shows(44)
    await stage.works(driver, 1)
    assert _rss_mb() - rss_mb < GROWN_MB_MAX
    await stage.until(lambda: rig.proxy.open == 1, "one connection is left")
    await stage.until(lambda: len(driver_tasks()) <= tasks + TASKS_MORE_MAX, "no tasks are left")
    stage.require_whole_commands()


async def replies_that_trip_the_library(stage: Stage) -> None:
    """Each known trick once: the connection may end, the driver may not, and no old socket stays behind."""
    rig = stage.rig
    run = stage.running(rig.driver(stage.sink, hasty=True))
    for name, trick in rig.tricks.items():
        await stage.comes_up()
        played: list[bytes] = []

        def play(piece: bytes, trick: Trick = trick, played: list[bytes] = played) -> tuple[bytes, ...]:
            changed = None if played else trick(piece)
            if changed is None:
                return (piece,)
            played.append(changed)
            return (changed,)

        rig.proxy.on_reply = play
        rig.proxy.cut()
        await stage.until(lambda played=played: played, f"{name} was played")
        rig.proxy.on_reply = None
        await stage.shows(len(name) % 50)
        assert not run.done(), f"{name}: {run.exception()!r}"
        await stage.until(lambda: rig.proxy.open == 1, f"{name}: one connection is left", 2.0)


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6
