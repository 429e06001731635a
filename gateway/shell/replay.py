"""Does today's kernel draw the same effects from a journal's inputs as the one that ran then?

Every batch of inputs was written down with the digest of what it drew. A difference means that a change of the code
would have decided otherwise on that day: wanted or not, one wants to know it before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway import codec
from gateway.contract import Effect, Input
from gateway.kernel import Kernel
from gateway.shell.engine import digest
from gateway.shell.journal import History
from gateway.shell.recovery import ReplayFailed, begin
from gateway.site import Site


@dataclass(frozen=True)
class Difference:
    """The first batch that drew something else: its inputs, and what each draws today."""

    first_seq: int
    last_seq: int
    drawn_today: list[tuple[Input, list[Effect]]]


@dataclass
class Comparison:
    """What a replay of everything has come to. `with_digest`: inputs whose effects could be compared."""

    begin_seq: int
    inputs: int = 0
    batches: int = 0
    with_digest: int = 0
    difference: Difference | None = None
    last_seq: int = field(default=0)


def compare(history: History, site: Site | None = None, until_seq: int | None = None) -> Comparison:
    """Replay from the oldest place on and compare, batch by batch, up to the first difference or `until_seq`.

    `site` serves where the journal does not say its own. Raises as `recovery.rebuild` does.
    """
    kernel, begin_seq = begin(history, site, oldest_seq(history))
    return _compared(kernel, history, begin_seq, until_seq)


def oldest_seq(history: History) -> int:
    """After which input a replay can begin at the earliest: 0, or that of the oldest snapshot that is left."""
    oldest = history.first_seq - 1
    if oldest == 0 or history.latest_snapshot(oldest) is not None:
        return oldest
    found = history.latest_snapshot()
    while found is not None:
        oldest = found[0]
        found = history.latest_snapshot(oldest - 1)
    return oldest


def _compared(kernel: Kernel, history: History, begin_seq: int, until_seq: int | None) -> Comparison:
    found = Comparison(begin_seq)
    batches = history.read_drawn(begin_seq)
    batch = next(batches, None)
    drawn_today: list[tuple[Input, list[Effect]]] = []
    for entered, effects in _drawn(kernel, history, begin_seq):
        if until_seq is not None and entered.seq > until_seq:
            break
        found.inputs, found.last_seq = found.inputs + 1, entered.seq
        if batch is None or entered.seq < batch[0]:
            continue
        drawn_today.append((entered, effects))
        if entered.seq < batch[1]:
            continue
        if digest(effect for _, drawn in drawn_today for effect in drawn) != batch[2]:
            found.difference = Difference(batch[0], batch[1], drawn_today)
            return found
        found.batches, found.with_digest = found.batches + 1, found.with_digest + len(drawn_today)
        drawn_today = []
        batch = next(batches, None)
    return found


def _drawn(kernel: Kernel, history: History, after_seq: int) -> Iterator[tuple[Input, list[Effect]]]:
    """Every input after `after_seq` with what it draws today."""
    for seq, at_ns, data in history.read(after_seq):
        try:
            entered = codec.stamp(seq, at_ns, data)
            effects = kernel.apply(entered)
        except Exception as error:  # fate: told with the input's number, the journal stays as it is
            raise ReplayFailed(seq, error) from error
        yield entered, effects
