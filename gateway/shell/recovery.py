"""The kernel as the journal left it: newest snapshot, then every input after it, effects discarded."""

from __future__ import annotations

from dataclasses import dataclass

from gateway import codec
from gateway.kernel import Kernel
from gateway.shell.journal import Journal, JournalError
from gateway.site import Site


class ReplayFailed(JournalError):
    """An input of the journal can't be applied by this version. Nothing has been changed by trying."""

    def __init__(self, seq: int, cause: Exception) -> None:
        super().__init__(
            f"input {seq} of the journal can't be replayed by this version ({cause!r}). Keep the data folder and call "
            "support; start the version that wrote it, or a new data folder after a walk through the plant"
        )
        self.seq = seq


@dataclass(frozen=True)
class Restored:
    """What came back: the kernel, the input that its snapshot ends with (0: none), and how many were replayed."""

    kernel: Kernel
    snapshot_seq: int
    replayed: int


def restore(site: Site, journal: Journal) -> Restored:
    """The kernel after the journal's last input. Raises ReplayFailed, and from the journal JournalError."""
    snapshot = journal.latest_snapshot()
    kernel = Kernel(site) if snapshot is None else Kernel.restore(site, snapshot[1])
    after_seq = snapshot[0] if snapshot else 0
    return Restored(kernel, after_seq, replay(kernel, journal, after_seq))


def replay(kernel: Kernel, journal: Journal, after_seq: int) -> int:
    """Bring the kernel up to the journal's end; returns the number of inputs. Raises as `restore` does."""
    count = 0
    for seq, at_ns, body in journal.read(after_seq):
        try:
            kernel.apply(codec.stamp(seq, at_ns, body))
        except Exception as error:  # fate: the start is refused with the input's number, the journal stays as it is
            raise ReplayFailed(seq, error) from error
        count += 1
    return count
