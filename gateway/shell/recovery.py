"""The kernel at a moment of a journal: the best snapshot, then the inputs after it, effects discarded.

There is this one way to rebuild a state: a start goes it to the journal's end, `stellwerk replay` to any input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import structlog

from gateway import codec
from gateway.contract import Effect, SiteChanged
from gateway.dispatch.state import State
from gateway.kernel import Kernel
from gateway.shell.journal import History, JournalError, JournalGap
from gateway.site import Site, decode_site

Heard = Callable[[int, int, int, Effect], None]
"""Told of an effect: number of its input, its own number there, time, effect."""

SITE_WITHIN = 16
"""A gateway says its site in the first batch after its start: among so many inputs at the most."""
_log = structlog.get_logger("recovery")


class ReplayFailed(JournalError):
    """An input of the journal can't be applied by this version. Nothing has been changed by trying."""

    def __init__(self, seq: int, cause: Exception) -> None:
        super().__init__(
            f"input {seq} of the journal can't be replayed by this version ({cause!r}). Keep the data folder and call "
            "support; start the version that wrote it, or a new data folder after a walk through the plant"
        )
        self.seq = seq


class NothingToBeginWith(JournalError):
    """The oldest inputs have made room, and no snapshot before the rest can be read by this version."""

    def __init__(self, gap: JournalGap) -> None:
        super().__init__(
            f"no snapshot of the journal can be read by this version, and its inputs begin with {gap.expected}: start "
            "the version that wrote it, or a new data folder after a walk through the plant"
        )


class SiteUnknown(JournalError):
    """The journal is from before gateways wrote down their site, and nobody has named it."""

    def __init__(self) -> None:
        super().__init__("the journal does not say which site was in force: name its YAML with --site PATH")


@dataclass(frozen=True)
class Restored:
    """What came back: the kernel, the input that its snapshot ends with (0: none), and how many were replayed."""

    kernel: Kernel
    snapshot_seq: int
    replayed: int


def restore(site: Site, journal: History, heard: Heard | None = None) -> Restored:
    """The kernel after the journal's last input. Raises ReplayFailed, and from the journal JournalError.

    `heard` is told of what the replayed inputs drew: a process may have died before it had told others of it.
    """
    return rebuild(journal, site, heard=heard)


def rebuild(
    history: History, site: Site | None = None, until_seq: int | None = None, heard: Heard | None = None
) -> Restored:
    """The kernel after input `until_seq` (None: the last). `site` serves where the journal does not say its own.

    Raises ReplayFailed, NothingToBeginWith, SiteUnknown, and from the journal JournalError.
    """
    after_seq = 0
    try:
        kernel, after_seq = begin(history, site, until_seq)
        return Restored(kernel, after_seq, replay(kernel, history, after_seq, until_seq, heard))
    except JournalGap as gap:
        if after_seq or (until_seq is not None and until_seq < gap.expected):
            raise
        raise NothingToBeginWith(gap) from gap


def begin(history: History, site: Site | None, until_seq: int | None = None) -> tuple[Kernel, int]:
    """A kernel to replay with up to `until_seq`, and the input that it has come to: the newest snapshot before it, 0
    where there is none. Snapshots of an older format that can't be read any more are passed over."""
    snapshot = history.latest_snapshot() if until_seq is None else history.latest_snapshot(until_seq)
    while snapshot is not None:
        seq, data = snapshot
        try:
            state = _state(seq, data)
            in_force = site if site is not None or not state.site else decode_site(state.site)
            if in_force is None:
                raise SiteUnknown
            return Kernel(in_force, state), seq
        except ValueError as error:
            _log.warning("snapshot can't be read by this version, taking an older one", seq=seq, cause=str(error))
        snapshot = history.latest_snapshot(seq - 1)
    return Kernel(site if site is not None else _first_site(history)), 0


def _state(seq: int, data: bytes) -> State:
    """Raises ValueError for what is not the state after input `seq`."""
    state = codec.decode_state(data)
    if state.seq == 0 and state.now_ns > 0:
        # Written before states knew their number.
        state.seq = seq
    if state.seq != seq:
        # Decoding leaves out what it does not know, so another format may look like a state with nothing in it.
        raise ValueError(f"it says that it is the state after input {state.seq}")
    return state


def _first_site(history: History) -> Site:
    for seq, _, data in islice(history.read(0), SITE_WITHIN):
        try:
            body = codec.decode_body(data)
            if isinstance(body, SiteChanged):
                return decode_site(body.site)
        except ValueError as error:
            raise ReplayFailed(seq, error) from error
    raise SiteUnknown


def replay(
    kernel: Kernel, journal: History, after_seq: int, until_seq: int | None = None, heard: Heard | None = None
) -> int:
    """Bring the kernel from input `after_seq` to `until_seq` (None: the journal's end); returns the number of inputs.
    Raises as `restore` does."""
    count = 0
    for seq, at_ns, body in journal.read(after_seq):
        if until_seq is not None and seq > until_seq:
            break
        try:
            effects = kernel.apply(codec.stamp(seq, at_ns, body))
        except Exception as error:  # fate: the start is refused with the input's number, the journal stays as it is
            raise ReplayFailed(seq, error) from error
        count += 1
        if heard is not None:
            for number, effect in enumerate(effects):
                heard(seq, number, at_ns, effect)
    return count
