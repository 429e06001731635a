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
    yield from _compared(profile, path)
    yield from _echo_in_reach(profile, path)
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


def _compared(profile: Profile, path: Path) -> Iterator[Finding]:
    """`mask`, `equals`, `known` and `constant` where they have a meaning, and numbers that the mask lets through."""
    places = [(signal, (*path, "signals", n)) for n, signal in enumerate(profile.signals)]
    for number, group in enumerate(profile.groups):
        places += [(signal, (*path, "groups", number, "signals", n)) for n, signal in enumerate(group.signals)]
    for signal, at in places:
        who = f"profile {profile.profile}: signal {signal.name}"
        compared = signal.mask is not None or bool(signal.equals or signal.known)
        plain = signal.type == "bool" and signal.table in ("holding", "input") and signal.bit is None
        if compared and not (plain and signal.access == "read"):
            message = f"{who} has mask, equals or known, which only a bool that is read from a whole register can have"
            yield Finding((*at, "name"), message, "write type: bool, a table of registers and no bit")
        if signal.constant is not None and (signal.table or signal.access == "write" or compared):
            message = f"{who} is the constant {signal.constant}, so it is not on the wire"
            yield Finding((*at, "constant"), message, "remove table, address, mask and access")
        lost = [n for n in (*signal.equals, *signal.known) if signal.mask is not None and n & ~signal.mask]
        if lost:
            message = f"{who}: {lost[0]} has bits that its mask 0x{signal.mask:04x} takes away"
            yield Finding((*at, "mask"), message, "the numbers are those of the register after the mask")
        strange = [n for n in signal.equals if signal.known and n not in signal.known]
        if strange:
            message = f"{who} is to be true at {strange[0]}, which is not in known"
            yield Finding((*at, "known"), message, f"add {strange[0]} to known")


def _echo_in_reach(profile: Profile, path: Path) -> Iterator[Finding]:
    """Function 23 reads holding registers only."""
    if not profile.handshake.read_write:
        return
    if not any(signal.name == "ack_seq" and signal.table == "holding" for signal in profile.signals):
        message = (
            f"profile {profile.profile}: read_write reads ack_seq with function 23, but it is in no holding register"
        )
        yield Finding((*path, "handshake", "read_write"), message, "remove read_write")


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
    mask = 1 << signal.bit if signal.bit is not None else signal.mask or _ALL_BITS
    stride = (signal.stride or group.stride) if group else 1
    yield _Claim(signal, path, name, signal.address, width, stride, count, mask)


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
                if other.mask & claim.mask and not _both_compared(claim, other):
                    yield other, register
                    break
            else:
                there.append(claim)


def _both_compared(claim: _Claim, other: _Claim) -> bool:
    """Flags that compare a register with numbers share it: each stands for some of its states."""
    return claim is not other and all(each.signal.equals and each.signal.access == "read" for each in (claim, other))


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
