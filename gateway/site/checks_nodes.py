"""An OPC UA profile: every signal has a node that can be found, a method its arguments, a deadband hides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.site.checks_finding import Finding, Path
from gateway.site.checks_signals import READ
from gateway.site.node_path import identifier_problem, is_path, path_steps
from gateway.site.profile import GroupSpec, Profile, SignalSpec

_NUMBERED = "{n}"
_REGISTERS_ONLY = frozenset({"bcd16", "bcd32"})
_NUMBERS = frozenset({"uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"})
_FORMS = "write s=<text> or i=<number> in the profile's namespace, or a browse path such as /PLC/Status/HbPlc"
Placed = tuple[SignalSpec, Path, GroupSpec | None, str]
"""A signal, its path in the YAML, its group and what it is called in messages."""


def check_nodes(profile: Profile, path: Path, signals: Iterable[Placed]) -> Iterator[Finding]:
    if not profile.namespace and profile.signals:
        message = f"profile {profile.profile}: 'namespace' is missing; the nodes cannot be found without its URI"
        yield Finding((*path, "profile"), message, "add 'namespace:' with the URI that the server shows")
    yield from _method(profile, path)
    first: dict[str, Path] = {}
    for signal, signal_path, group, name in signals:
        if signal.type in _REGISTERS_ONLY:
            yield Finding(
                (*signal_path, "type"), f"{name} is a {signal.type}, which only Modbus has here", "another type"
            )
        yield from _deadband(profile, signal, signal_path, group, name)
        if signal.verify and group is not None:
            hint = "a command's signals stand at the top level; remove verify"
            yield Finding((*signal_path, "verify"), f"{name}: what is in a group is not read back", hint)
        if profile.handshake.method is not None and signal.name.startswith("cmd_") and group is None:
            if signal.node is not None:
                message = f"{name} goes as an argument of the method, so it has no node"
                yield Finding((*signal_path, "node"), message, "remove node")
            continue
        if signal.node is None:
            yield Finding(
                (*signal_path, "name"), f"{name} has no node", "a signal on OPC UA has one, such as s=Status.HbPlc"
            )
            continue
        yield from _node(signal.node, (*signal_path, "node"), group, name)
        known = first.setdefault(signal.node, (*signal_path, "node"))
        if known != (*signal_path, "node"):
            message = f"{name} has the node '{signal.node[:60]}' of another signal"
            yield Finding((*signal_path, "node"), message, "each has its own", known)


def _node(node: str, at: Path, group: GroupSpec | None, name: str) -> Iterator[Finding]:
    problem = _problem(node)
    if problem:
        yield Finding(at, f"{name} has the node '{node[:60]}', {problem}", _FORMS)
    if group is not None and group.count != 1 and _NUMBERED not in node:
        message = f"{name} is repeated, but its node '{node[:60]}' is the same for all"
        yield Finding(at, message, "write {n} where the number stands")
    elif group is None and _NUMBERED in node:
        yield Finding(at, f"{name} is no member of a group, so there is no number for {_NUMBERED}", "write the number")


def _problem(node: str) -> str:
    if not is_path(node):
        return identifier_problem(node)
    try:
        path_steps(node)
    except ValueError as exc:
        return f"a browse path that can't be followed: {exc}"
    return ""


def _method(profile: Profile, path: Path) -> Iterator[Finding]:
    method = profile.handshake.method
    if method is None:
        return
    at: Path = (*path, "handshake", "method")
    for key, node in (("object", method.object), ("method", method.method)):
        problem = _problem(node) or ("but a method stands in no group" if _NUMBERED in node else "")
        if problem:
            yield Finding((*at, key), f"profile {profile.profile}: {key} is the node '{node[:60]}', {problem}", _FORMS)
    if profile.handshake.verify:
        message = f"profile {profile.profile}: the arguments of a method can't be read back"
        yield Finding((*path, "handshake", "verify"), message, "remove verify: the PLC's echo is the proof")


def _deadband(
    profile: Profile, signal: SignalSpec, path: Path, group: GroupSpec | None, name: str
) -> Iterator[Finding]:
    if signal.deadband is None:
        return
    at: Path = (*path, "deadband")
    if signal.type not in _NUMBERS:
        yield Finding(at, f"{name} is a {signal.type}: only numbers have a deadband", "remove deadband")
    elif signal.access == "write":
        yield Finding(at, f"{name} is written, not watched: a deadband does nothing", "remove deadband")
    elif (group is None and signal.name in READ[profile.device_type]) or signal.evidence != "level":
        message = f"{name} would hide changes up to {signal.deadband:g}, but every change of it counts"
        yield Finding(at, message, "remove deadband; it is for numbers that only inform")
    elif group is not None and group.group == profile.handshake.ring:
        yield Finding(at, f"{name} is read, not watched: a deadband does nothing", "remove deadband")
