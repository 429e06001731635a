"""A profile by itself: every signal has its place, no two share one, and nothing lies outside or forbidden."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.site.checks_finding import Finding, Path
from gateway.site.checks_ids import Ids
from gateway.site.checks_nodes import check_nodes
from gateway.site.checks_registers import check_registers
from gateway.site.checks_signals import count_of
from gateway.site.model import Site
from gateway.site.profile import GroupSpec, Profile, SignalSpec


def check_profiles(site: Site, ids: Ids) -> Iterator[Finding]:
    for number, profile in enumerate(site.profiles):
        path: Path = ("profiles", number)
        users = [site.devices[i] for i in ids.users.get(profile.profile, ())]
        longest = max((u for u in users if u.type == profile.device_type), key=count_of, default=None)
        yield from _names(profile, path)
        yield from _times(profile, path)
        yield from _evidence(profile, path)
        if profile.protocol == "modbus":
            count = count_of(longest) if longest is not None else 1
            whose = longest.id if longest is not None else ""
            yield from _placed_in_registers(profile, path)
            yield from check_registers(profile, path, count, whose)
        elif profile.protocol == "opcua":
            placed = ((s, at, group, label(profile, s, group)) for s, at, group in signals_of(profile, path))
            yield from check_nodes(profile, path, placed)
        elif profile.signals or profile.groups:
            step = "signals" if profile.signals else "groups"
            message = f"profile {profile.profile}: VDA 5050 has messages of its own and no signals to bind"
            yield Finding((*path, step), message, f"remove {step}")


def signals_of(profile: Profile, path: Path) -> Iterator[tuple[SignalSpec, Path, GroupSpec | None]]:
    """Every signal with its path and its group, those of the top level first."""
    for number, signal in enumerate(profile.signals):
        yield signal, (*path, "signals", number), None
    for group_number, group in enumerate(profile.groups):
        for number, signal in enumerate(group.signals):
            yield signal, (*path, "groups", group_number, "signals", number), group


def label(profile: Profile, signal: SignalSpec, group: GroupSpec | None) -> str:
    inside = f"{group.group}.{signal.name}" if group is not None else signal.name
    return f"profile {profile.profile}: signal {inside}"


def _names(profile: Profile, path: Path) -> Iterator[Finding]:
    """A name that stands twice would quietly hide one of the two places."""
    groups: dict[str, Path] = {}
    for number, group in enumerate(profile.groups):
        at: Path = (*path, "groups", number, "group")
        known = groups.setdefault(group.group, at)
        if known is not at:
            message = f"profile {profile.profile}: the group '{group.group}' stands here twice"
            yield Finding(at, message, "put its signals into one group", known)
    signals: dict[tuple[str, str], Path] = {}
    for signal, signal_path, owner in signals_of(profile, path):
        at = (*signal_path, "name")
        known = signals.setdefault((owner.group if owner else "", signal.name), at)
        if known is not at:
            yield Finding(at, f"{label(profile, signal, owner)} stands here twice", "remove one", known)


def _times(profile: Profile, path: Path) -> Iterator[Finding]:
    shake = profile.handshake
    if shake.stale_ms < 2 * shake.heartbeat_ms:
        message = (
            f"profile {profile.profile}: stale_ms is {shake.stale_ms} ms, less than two heartbeats of"
            f" {shake.heartbeat_ms} ms: one late beat would take the device out of service"
        )
        yield Finding((*path, "handshake", "stale_ms"), message, f"write at least {2 * shake.heartbeat_ms}")


def _evidence(profile: Profile, path: Path) -> Iterator[Finding]:
    for signal, signal_path, group in signals_of(profile, path):
        if signal.evidence == "pulse" and profile.protocol == "modbus":
            message = f"{label(profile, signal, group)} is a pulse on a polled link: it is over before anyone looks"
            hint = "let the PLC count it (evidence: counter) or hold it until it is acknowledged (evidence: latch)"
            yield Finding((*signal_path, "evidence"), message, hint)
        if signal.scale == 0 or signal.scale - signal.scale != 0:  # not finite
            message = f"{label(profile, signal, group)} has a scale of {signal.scale:g}: its value would be lost"
            yield Finding((*signal_path, "scale"), message, "write the factor from raw value to value")


def _placed_in_registers(profile: Profile, path: Path) -> Iterator[Finding]:
    for signal, signal_path, group in signals_of(profile, path):
        name = label(profile, signal, group)
        at: Path = (*signal_path, "name")
        if signal.constant is not None:
            continue  # it is not on the wire (checks_registers)
        missing = [key for key in ("table", "address") if getattr(signal, key) is None]
        if missing:
            hint = "a signal on Modbus has both, such as table: holding and address: 100"
            yield Finding(at, f"{name} has no {' and no '.join(missing)}", hint)
        elif signal.table in ("coil", "discrete") and signal.type != "bool":
            message = f"{name} is a {signal.type} in table {signal.table}, where there are only bits"
            yield Finding((*signal_path, "type"), message, "write type: bool, or another table")
        if signal.table in ("input", "discrete") and signal.access == "write":
            hint = "write table: holding or table: coil"
            yield Finding(
                (*signal_path, "access"), f"{name} is to be written, but table {signal.table} is read-only", hint
            )
        if signal.bit is not None and signal.type != "bool":
            message = f"{name} is a {signal.type} in one bit of a register"
            yield Finding((*signal_path, "bit"), message, "write type: bool, or remove bit")
        elif signal.bit is not None and signal.table in ("coil", "discrete"):
            yield Finding(
                (*signal_path, "bit"), f"{name}: an entry of table {signal.table} is one bit itself", "remove bit"
            )
