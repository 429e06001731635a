"""Binding a profile to one device: every signal by its full name, with the register or node it lives in.

Pure. Everything that a driver reads or writes goes through a `Bound`; what the profile does not declare
writable is never written (`require_writable`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.site.profile import REGISTERS, Profile, SignalSpec

LIFE_SIGNS = frozenset({"hb_plc"})
"""Signals whose change alone is no news for the kernel."""


class BadValueError(Exception):
    """A device shows something that its profile does not allow: which signal, what, and why it is refused."""

    def __init__(self, signal: str, value: object, problem: str) -> None:
        super().__init__(f"{signal} = {value!r}: {problem}")
        self.signal = signal
        self.value = value
        self.problem = problem


class WriteRefusedError(Exception):
    """The profile does not allow this write; nothing has been sent."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One signal of one device. Modbus: `table`, `address` (0-based), `bit`, `registers` (how many it takes).

    OPC UA: `node`, an identifier without its namespace. A read value is raw × `scale`.
    """

    name: str
    type: str
    writable: bool
    table: str
    address: int
    bit: int | None
    registers: int
    node: str
    scale: float
    poll: str

    @property
    def end(self) -> int:
        """The first register after this signal."""
        return self.address + self.registers


def bind(profile: Profile, *, zones: int = 0, lanes: int = 0) -> dict[str, Bound]:
    """All signals of a device by name (`zone.3.occupied`), in the profile's order.

    `zones` and `lanes` are the device's own numbers, for groups that count by them. Raises ValueError where
    two signals would have the same name or an address would lie beyond 65535.
    """
    bound = [_bind(signal, signal.name, 0, 0) for signal in profile.signals]
    counts = {"zones": zones, "lanes": lanes}
    for group in profile.groups:
        count = counts[group.count] if isinstance(group.count, str) else group.count
        for number in range(1, count + 1):
            offset = group.stride * (number - 1)
            for signal in group.signals:
                bound.append(_bind(signal, f"{group.group}.{number}.{signal.name}", offset, number))
    by_name = {signal.name: signal for signal in bound}
    if len(by_name) != len(bound):
        raise ValueError(f"profile {profile.profile}: two signals have the same name")
    for each in bound:
        if each.end > 65536:
            raise ValueError(
                f"profile {profile.profile}: {each.name} would lie at register {each.address}, "
                f"the last one is 65535: check the group's stride and count"
            )
    return by_name


def _bind(signal: SignalSpec, name: str, offset: int, number: int) -> Bound:
    return Bound(
        name=name,
        type=signal.type,
        writable=signal.access == "write",
        table=signal.table or "",
        address=0 if signal.address is None else signal.address + offset,
        bit=signal.bit,
        registers=_registers(signal),
        node=(signal.node or "").replace("{n}", str(number)),
        scale=signal.scale,
        poll=signal.poll,
    )


def _registers(signal: SignalSpec) -> int:
    if signal.type == "string":
        return signal.length
    return REGISTERS.get(signal.type, 1)


def require_writable(bound: Iterable[Bound]) -> None:
    """Raises WriteRefusedError for the first signal that the profile does not declare `access: write`."""
    for signal in bound:
        if not signal.writable:
            raise WriteRefusedError(
                f"signal {signal.name} is not declared `access: write` in its profile; nothing was written"
            )


def mailbox(
    signals: dict[str, Bound], payload: dict[str, bool | int | float | str | None], *, epoch: int, seq: int
) -> list[tuple[Bound, bool | int | float | str]]:
    """What one command writes, in order: epoch, payload in the profile's order, and the sequence number last.

    Raises WriteRefusedError where the profile lacks a signal of the payload or does not allow to write it.
    """
    values = {"cmd_epoch": epoch, **payload}
    missing = [name for name in (*values, "cmd_seq") if name not in signals]
    if missing:
        raise WriteRefusedError(f"the profile has no signal {', '.join(missing)}; the command was not written")
    ordered: list[tuple[Bound, bool | int | float | str]] = []
    for name, signal in signals.items():
        value = values.get(name)
        if value is not None:
            ordered.append((signal, value))
    ordered.append((signals["cmd_seq"], seq))
    require_writable(signal for signal, _ in ordered)
    return ordered
