"""Reading back what was written: which registers the profile wants compared, and how they differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.modbus.registers import Write
from drivers.signals import BadValueError, Bound
from gateway.site.profile import Profile


class Verification:
    """Which registers and coils are read back after a write, by the names of their signals.

    `verify` of a signal asks for it, `verify` of the handshake for every signal of the mailbox. Our heartbeat is
    never read back: the next one is on its way.
    """

    def __init__(self, profile: Profile, signals: Mapping[str, Bound]) -> None:
        chosen = {signal.name for signal in profile.signals if signal.verify or profile.handshake.verify}
        self._names: dict[tuple[str, int], str] = {}
        for name in chosen - {"hb_gw"}:
            bound = signals[name]
            if bound.writable:
                for address in range(bound.address, bound.end):
                    self._names[bound.table, address] = name

    def wanted(self, write: Write) -> bool:
        """Some of what was written is to be read back."""
        return any((write.table, write.address + n) in self._names for n in range(len(write.words)))

    def compare(self, write: Write, words: Sequence[int]) -> list[BadValueError]:
        """The registers that do not hold what was written; of a masked write only its bits count."""
        bad = []
        bits = write.mask or 0xFFFF
        for n, wanted in enumerate(write.words):
            address = write.address + n
            name = self._names.get((write.table, address))
            if name is not None and (words[n] ^ wanted) & bits:
                problem = (
                    f"reading back {write.table} {address} after {wanted} was written: "
                    "does the PLC program overwrite it, or is it another register?"
                )
                bad.append(BadValueError(name, words[n], problem))
        return bad
