"""Registers of a Modbus profile: each bit belongs to one signal, none beyond the end, none that is forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.site.checks_finding import Finding, Path
from gateway.site.profile import REGISTERS, GroupSpec, Profile, SignalSpec

REGISTER_LAST = 65535
PLACES_MAX = 500_000
"""Registers that one profile may claim in all, members counted; more than there are in four tables."""
_ALL_BITS = 0xFFFF


@dataclass(slots=True)
class _Claim:
    """One signal's place: first register of member 1, registers, distance between members, how many there are."""

    signal: SignalSpec
    path: Path
    name: str
    first: int
    width: int
    stride: int
    count: int
    mask: int


def check_registers(profile: Profile, path: Path, count: int, whose: str) -> Iterator[Finding]:
    """Expand once, for the device `whose` with the most zones or lanes (`count`): it holds all the shorter ones."""
    who = f"profile {profile.profile}"
    suffix = f" (with the {count} of {whose})" if whose else ""
    yield from _ranges(profile, path)
    forbidden = bytearray(REGISTER_LAST + 1)
    for first, last in profile.forbidden:
        forbidden[first : last + 1] = b"\1" * (last + 1 - first)
    owners: dict[str, dict[int, list[_Claim]]] = {}
    told: set[tuple[Path, Path]] = set()
    places = 0
    for claim in _claims(profile, path, count):
        name = f"{who}: signal {claim.name}"
        at: Path = (*claim.path, "address")
        counted = suffix if claim.count > 1 else ""
        places += claim.count * claim.width
        if places > PLACES_MAX:
            message = f"{name} is one too many: the profile claims more than {PLACES_MAX} registers"
            yield Finding(at, message, "lower the counts of its groups")
            return
        last = claim.first + claim.stride * (claim.count - 1) + claim.width - 1
        if last > REGISTER_LAST:
            message = f"{name} ends at register {last}{counted}; the last one is {REGISTER_LAST}"
            yield Finding(at, message, "addresses are 0-based: is it a 4xxxxx number?")
            continue
        hit = _first_forbidden(claim, forbidden) if claim.signal.table in ("holding", "input") else None
        if hit is not None:
            message = f"{name} lies at register {hit}{counted}, which is forbidden"
            yield Finding(at, message, "move the signal, or take the range out of 'forbidden'")
        for other, register in _claim_all(claim, owners.setdefault(str(claim.signal.table), {})):
            if (claim.path, other.path) not in told:
                told.add((claim.path, other.path))
                yield _overlap(claim, other, register, name, counted)


def _ranges(profile: Profile, path: Path) -> Iterator[Finding]:
    for number, (first, last) in enumerate(profile.forbidden):
        if first > last:
            message = f"profile {profile.profile}: the forbidden range {first} to {last} runs backwards"
            yield Finding((*path, "forbidden", number), message, f"write [{last}, {first}]")


def _claims(profile: Profile, path: Path, count: int) -> Iterator[_Claim]:
    for number, signal in enumerate(profile.signals):
        yield from _claim(signal, (*path, "signals", number), None, 1)
    for group_number, group in enumerate(profile.groups):
        members = group.count if isinstance(group.count, int) else count
        for number, signal in enumerate(group.signals):
            yield from _claim(signal, (*path, "groups", group_number, "signals", number), group, members)


def _claim(signal: SignalSpec, path: Path, group: GroupSpec | None, count: int) -> Iterator[_Claim]:
    if signal.table is None or signal.address is None:
        return
    name = f"{group.group}.{signal.name}" if group is not None else signal.name
    width = signal.length if signal.type == "string" else REGISTERS.get(signal.type, 1)
    mask = 1 << signal.bit if signal.bit is not None else _ALL_BITS
    yield _Claim(signal, path, name, signal.address, width, group.stride if group else 1, count, mask)


def _first_forbidden(claim: _Claim, forbidden: bytearray) -> int | None:
    for member in range(claim.count):
        start = claim.first + claim.stride * member
        hit = forbidden.find(1, start, start + claim.width)
        if hit >= 0:
            return hit
    return None


def _claim_all(claim: _Claim, owners: dict[int, list[_Claim]]) -> Iterator[tuple[_Claim, int]]:
    """Enter the claim; yields whom it collides with, and where. A register has at most 17 owners listed."""
    for member in range(claim.count):
        start = claim.first + claim.stride * member
        for register in range(start, start + claim.width):
            there = owners.get(register)
            if there is None:
                owners[register] = [claim]
                continue
            for other in there:
                if other.mask & claim.mask:
                    yield other, register
                    break
            else:
                there.append(claim)


def _overlap(claim: _Claim, other: _Claim, register: int, name: str, counted: str) -> Finding:
    where = f"register {register}"
    if claim.mask != _ALL_BITS:
        where += f" bit {claim.signal.bit}"
    if claim is other:
        message = f"{name} overlaps itself at {where}: its members are {claim.width} registers long"
        return Finding((*claim.path, "address"), message, f"write a stride of at least {claim.width}")
    message = f"{name} and {other.name} are both at {where}{counted}"
    hint = "give each its own registers; a 32-bit value takes two"
    if claim.signal.access != other.signal.access:
        hint = "what the gateway writes and what it reads have registers of their own"
    return Finding((*claim.path, "address"), message, hint, (*other.path, "address"))
