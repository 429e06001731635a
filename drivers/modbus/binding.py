"""A Modbus profile bound to one device: its signals, and which are enumerations or not on the wire at all.

Pure. `drivers.signals.bind` does what all protocols share; this adds what only registers have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from drivers.modbus.registers import Flag
from drivers.signals import Bound, bind
from gateway.contract import Scalar
from gateway.site.profile import Profile, SignalSpec


@dataclass(frozen=True, slots=True)
class Binding:
    """`signals` have a place on the wire, `flags` are those of them that are compared, `constants` have none."""

    signals: dict[str, Bound]
    flags: dict[str, Flag]
    constants: dict[str, Scalar]


def bind_registers(profile: Profile, *, zones: int) -> Binding:
    """Raises ValueError as `drivers.signals.bind` does."""
    signals = bind(profile, zones=zones)
    flags: dict[str, Flag] = {}
    constants: dict[str, Scalar] = {}
    for name, spec, number in _specs(profile, zones):
        bound = signals[name]
        if spec.constant is not None:
            constants[name] = spec.constant
            del signals[name]
            continue
        if spec.stride is not None and spec.address is not None:
            signals[name] = replace(bound, address=spec.address + spec.stride * number)
            if signals[name].end > 65536:
                raise ValueError(f"profile {profile.profile}: {name} would lie at register {signals[name].address}")
        if spec.mask is not None or spec.equals or spec.known:
            flags[name] = Flag(spec.mask or 0xFFFF, frozenset(spec.equals), frozenset(spec.known))
    return Binding(signals, flags, constants)


def _specs(profile: Profile, zones: int) -> Iterator[tuple[str, SignalSpec, int]]:
    """Full name, signal, and its member's number from 0."""
    for spec in profile.signals:
        yield spec.name, spec, 0
    for group in profile.groups:
        count = group.count if isinstance(group.count, int) else zones
        for number in range(count):
            for spec in group.signals:
                yield f"{group.group}.{number + 1}.{spec.name}", spec, number
