"""The command mailbox of a PLC: sequence numbers, epochs, echoes.

The gateway's write is an `offer`; once a scan the PLC program may `take` it, and `finish`es it with a result. A
register holds only the newest write, so an offer made while a command is under way waits, and a second one
replaces it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

OK = 1
NOT_NOW = 2
INVALID = 3
OLDER_EPOCH = 4
FAILED = 5
NOT_THERE = 6

MEMORY_MAX = 4096
"""Accepted sequence numbers remembered one by one; all up to the highest forgotten one count as accepted."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One command as it was written. `values` are the payload signals by name."""

    seq: int
    epoch: int
    code: int
    values: Mapping[str, int | str] = field(default_factory=dict)
    due_ns: int = 0


class Mailbox:
    """What the gateway reads back (`epoch`, `ack_seq`, `done_seq`, `result`) and the rules behind it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.ack_seq = 0
        self.done_seq = 0
        self.result = 0
        self.delay_ns = 0
        """How long the program takes until it looks at a new command (plant time)."""
        self.busy: Offer | None = None
        self.accepted = 0
        self.executed = 0
        self.repeated = 0
        """Executions of a sequence number beyond its first: 0 unless the rules above are broken."""
        self._waiting: Offer | None = None
        self._results: OrderedDict[int, int] = OrderedDict()
        self._forgotten_max = 0
        self._runs: OrderedDict[int, int] = OrderedDict()

    def offer(self, offer: Offer, now_ns: int) -> None:
        """The gateway wrote a command. Sequence number 0 is no command."""
        if offer.seq == 0:
            return
        self._waiting = Offer(offer.seq, offer.epoch, offer.code, offer.values, now_ns + self.delay_ns)

    def take(self, now_ns: int) -> Offer | None:
        """The command to run now, if there is one that may run; refusals and repetitions are echoed here."""
        offer = self._waiting
        if offer is None or self.busy is not None or now_ns < offer.due_ns:
            return None
        self._waiting = None
        if offer.seq in self._results or offer.seq <= self._forgotten_max:
            # Run before: only the echo is repeated. 0 (none) where the result is no longer remembered.
            self._echo(offer.seq, self._results.get(offer.seq, 0))
            return None
        if offer.epoch < self.epoch:
            # Not remembered as accepted: the newer controller may still use this number.
            self._echo(offer.seq, OLDER_EPOCH)
            return None
        self.epoch = offer.epoch
        self.ack_seq = offer.seq
        self.accepted += 1
        self.busy = offer
        self._remember(offer.seq, 0)
        self._count_run(offer.seq)
        return offer

    def finish(self, result: int) -> None:
        """The command under way is through with `result`."""
        assert self.busy is not None, f"result {result} without a command under way"
        self._remember(self.busy.seq, result)
        self.done_seq, self.result = self.busy.seq, result
        self.busy = None

    @property
    def is_offered(self) -> bool:
        """A command waits to be looked at."""
        return self._waiting is not None

    def outcome(self, seq: int) -> int:
        """The result of a command that was accepted, 0 while it has none or where it is not remembered."""
        return self._results.get(seq, 0)

    def restart(self) -> None:
        """The PLC restarts: its retentive memory keeps numbers and epoch; what was under way has failed."""
        self._waiting = None
        if self.busy is not None:
            self.finish(FAILED)

    def _echo(self, seq: int, result: int) -> None:
        self.ack_seq = self.done_seq = seq
        self.result = result

    def _remember(self, seq: int, result: int) -> None:
        self._results[seq] = result
        while len(self._results) > MEMORY_MAX:
            forgotten, _ = self._results.popitem(last=False)
            self._forgotten_max = max(self._forgotten_max, forgotten)

    def _count_run(self, seq: int) -> None:
        # Kept apart from the acceptance memory, so that a mistake there shows here.
        self.executed += 1
        self._runs[seq] = self._runs.get(seq, 0) + 1
        if self._runs[seq] > 1:
            self.repeated += 1
        while len(self._runs) > 2 * MEMORY_MAX:
            self._runs.popitem(last=False)
