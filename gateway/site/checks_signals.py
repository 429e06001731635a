"""Each device type finds in its profile the signals that it asks for, readable or writable and of the right kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from gateway.site.checks_finding import Finding, Path, did_you_mean
from gateway.site.checks_ids import Ids
from gateway.site.model import ConveyorSpec, DeviceSpec, Site, SorterSpec
from gateway.site.profile import GroupSpec, Profile, SignalSpec

Kind = Literal["whole number", "bool", "string"]
_WHOLE: Kind = "whole number"
_TYPES: Mapping[Kind, frozenset[str]] = {
    "whole number": frozenset({"uint16", "int16", "uint32", "int32", "uint64", "int64", "bcd16", "bcd32"}),
    "bool": frozenset({"bool"}),
    "string": frozenset({"string"}),
}

_STATUS: dict[str, Kind] = dict.fromkeys(
    ("hb_plc", "boot_id", "epoch", "ack_seq", "done_seq", "result", "state", "mode"), _WHOLE
)
_CELL: dict[str, Kind] = {
    "track_id": _WHOLE, "blocked": "bool", "starved": "bool", "processed": _WHOLE, "defective": _WHOLE,
    "infeed_occupied": "bool", "outfeed_occupied": "bool",
}  # fmt: skip
READ: Mapping[str, Mapping[str, Kind]] = {
    "conveyor": _STATUS,
    "sorter": {**_STATUS, "evt_wr": _WHOLE},
    "robot_cell": {**_STATUS, **_CELL},
    "agv": {},
}
"""Device type → the signals that its records are built from."""

_MAILBOX: dict[str, Kind] = dict.fromkeys(("hb_gw", "cmd_epoch", "cmd_code", "cmd_track_id", "cmd_seq"), _WHOLE)
_LANES: dict[str, Kind] = dict.fromkeys(("cmd_lane_1", "cmd_lane_2", "cmd_lane_3", "cmd_lane_4"), _WHOLE)
WRITE: Mapping[str, Mapping[str, Kind]] = {
    "conveyor": {**_MAILBOX, "cmd_zone": _WHOLE},
    "sorter": {**_MAILBOX, **_LANES, "cmd_deadline_ms": _WHOLE, "evt_rd": _WHOLE},
    "robot_cell": {**_MAILBOX, "cmd_recipe": "string"},
    "agv": {},
}
"""Device type → the signals that its commands are written to."""

_FLAGS = ("occupied", "running", "held", "jam_at_arrival", "jam_at_sensor", "fault")
_ZONE: dict[str, Kind] = {
    **dict.fromkeys(_FLAGS, "bool"), "arrivals": _WHOLE, "departures": _WHOLE, "track_id": _WHOLE,
}  # fmt: skip
GROUPS: Mapping[str, Mapping[str, Mapping[str, Kind]]] = {
    "conveyor": {"zone": _ZONE},
    "sorter": {"lane": {"enabled": "bool", "half_full": "bool", "full": "bool", "count": _WHOLE}},
    "robot_cell": {},
    "agv": {},
}
"""Device type → its groups → their signals."""

EVENT: Mapping[str, Kind] = {
    "seq": _WHOLE, "type": _WHOLE, "track_id": _WHOLE, "point": _WHOLE, "lane": _WHOLE, "result": _WHOLE,
    "plc_ms": _WHOLE, "barcodes": "string",
}  # fmt: skip
"""The fields of one entry of the event ring."""

_COUNT_OF = {"zone": "zones", "lane": "lanes"}


def check_signals(site: Site, ids: Ids) -> Iterator[Finding]:
    """Every profile that a device of its type uses, once; then the devices' own counts."""
    for number, profile in enumerate(site.profiles):
        users = [site.devices[i] for i in ids.users.get(profile.profile, ())]
        if not any(user.type == profile.device_type for user in users):
            continue
        path: Path = ("profiles", number)
        yield from _top_level(profile, path)
        yield from _groups(profile, path)
        yield from _ring(profile, path)
    for number, device in enumerate(site.devices):
        if isinstance(device, ConveyorSpec | SorterSpec) and device.profile in ids.profiles:
            yield from _counts(device, ids.profiles[device.profile], ("devices", number))


def _top_level(profile: Profile, path: Path) -> Iterator[Finding]:
    signals = {signal.name: (signal, (*path, "signals", i)) for i, signal in enumerate(profile.signals)}
    who = f"profile {profile.profile}"
    anchor = (*path, "signals") if profile.signals else (*path, "profile")
    # Without a mailbox the device is only observed: there is nothing to write.
    written = WRITE if profile.handshake.mailbox else {profile.device_type: {}}
    for access, wanted in (("read", READ), ("write", written)):
        for name, kind in wanted[profile.device_type].items():
            if name in signals:
                yield from _fits(*signals[name], kind, access, who)
            else:
                yield _missing(name, kind, access, anchor, who, signals, profile.device_type)


def _groups(profile: Profile, path: Path) -> Iterator[Finding]:
    groups = {group.group: (group, (*path, "groups", i)) for i, group in enumerate(profile.groups)}
    for name, wanted in GROUPS[profile.device_type].items():
        if name in groups:
            yield from _members(*groups[name], wanted, profile)
        else:
            hint = did_you_mean(name, groups, f"a {profile.device_type} needs: {', '.join(wanted)}")
            at = (*path, "groups") if groups else (*path, "profile")
            yield Finding(at, f"profile {profile.profile}: the group '{name}' is missing", hint)


def _ring(profile: Profile, path: Path) -> Iterator[Finding]:
    ring = profile.handshake.ring
    if ring is None:
        if profile.device_type == "sorter":
            message = (
                f"profile {profile.profile}: a sorter tells its scans in an event ring; 'handshake: ring' is missing"
            )
            yield Finding((*path, "handshake"), message, "name the group of the ring's entries: ring: event")
        return
    groups = {group.group: (group, (*path, "groups", i)) for i, group in enumerate(profile.groups)}
    at: Path = (*path, "handshake", "ring")
    if ring not in groups:
        hint = did_you_mean(ring, groups, "declare it under groups")
        yield Finding(at, f"profile {profile.profile}: unknown group '{ring}' as event ring", hint)
        return
    group, group_path = groups[ring]
    yield from _members(group, group_path, EVENT, profile)
    if not isinstance(group.count, int):
        message = (
            f"profile {profile.profile}: the event ring '{ring}' has a fixed number of entries, not '{group.count}'"
        )
        yield Finding((*group_path, "count"), message, "write the number, such as 16 or 32")


def _members(group: GroupSpec, path: Path, wanted: Mapping[str, Kind], profile: Profile) -> Iterator[Finding]:
    signals = {signal.name: (signal, (*path, "signals", i)) for i, signal in enumerate(group.signals)}
    who = f"profile {profile.profile}: group {group.group}"
    for name, kind in wanted.items():
        if name in signals:
            yield from _fits(*signals[name], kind, "read", who)
        else:
            yield _missing(name, kind, "read", (*path, "signals"), who, signals, profile.device_type)


def _missing(
    name: str, kind: Kind, access: str, path: Path, who: str, signals: Iterable[str], device_type: str
) -> Finding:
    hint = did_you_mean(name, signals, f"a {device_type} needs it (a {kind}, access: {access})")
    return Finding(path, f"{who}: the signal '{name}' is missing", hint)


def _fits(signal: SignalSpec, path: Path, kind: Kind, access: str, who: str) -> Iterator[Finding]:
    name = f"{who}: signal {signal.name}"
    if signal.type not in _TYPES[kind]:
        hint = f"write {' or '.join(sorted(_TYPES[kind]))}"
        yield Finding((*path, "type"), f"{name} must be a {kind}, not {signal.type}", hint)
    elif signal.name == "hb_gw" and signal.type in ("int16", "bcd16"):
        message = f"{name} counts up to 65535, more than {signal.type} holds"
        yield Finding((*path, "type"), message, "write type: uint16")
    elif signal.scale != 1.0:
        message = f"{name} is a {kind}; a scale of {signal.scale:g} would change it"
        yield Finding((*path, "scale"), message, "remove the scale")
    if signal.access != access:
        step = "access" if signal.access == "write" else "name"
        message = f"{name} is for the gateway to {access}, but its access is {signal.access}"
        yield Finding((*path, step), message, f"write access: {access}")


def _counts(device: ConveyorSpec | SorterSpec, profile: Profile, path: Path) -> Iterator[Finding]:
    """A group with a fixed count has to reach as far as the device."""
    if profile.device_type != device.type:
        return
    group_name = "zone" if isinstance(device, ConveyorSpec) else "lane"
    has = count_of(device)
    key = _COUNT_OF[group_name]
    for group in profile.groups:
        if group.group != group_name or group.count == key:
            continue
        if isinstance(group.count, int) and group.count < has:
            message = f"{device.type} {device.id} has {has} {key}, its profile '{profile.profile}' {group.count}"
            yield Finding((*path, key), message, f"write 'count: {key}' in the profile's group {group_name}")


def count_of(device: DeviceSpec) -> int:
    """How often the groups of its own count stand in this device."""
    if isinstance(device, ConveyorSpec):
        return device.zones
    return len(device.lanes) if isinstance(device, SorterSpec) else 1
