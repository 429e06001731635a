"""What a vehicle's factsheet allows us to send, checked before anything is written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drivers.vda5050.version import Version
from gateway.devices.agv import Drive, DriveAction, Instant

_ALWAYS = ("cancelOrder", "startPause", "stopPause", "stateRequest", "factsheetRequest")
"""Never refused here: stopping a vehicle must not hang on what its factsheet forgot to list."""
_INTERVAL_S_MAX = 3_600.0
"""What is beyond it is a mistake in the factsheet; it must not become a number that no clock can hold."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Action types by scope, None where the factsheet names none, and the longest arrays and strings; 0 is no limit."""

    node_kinds: frozenset[str] | None = None
    instant_kinds: frozenset[str] | None = None
    order_nodes_max: int = 0
    order_edges_max: int = 0
    node_actions_max: int = 0
    parameters_max: int = 0
    message_bytes_max: int = 0
    id_chars_max: int = 0
    load_id_chars_max: int = 0
    ids_numeric: bool = False
    order_interval_s: float = 0.0
    """The least time between two order messages."""

    def problem(self, action: Drive | Instant, payload: bytes, version: Version) -> str | None:
        """Why the vehicle could not take this message: name, value, limit and what to do; None when it can."""
        found = self._drive(action) if isinstance(action, Drive) else self._instant(action, version)
        for text in found:
            return text
        return self._count("the message", len(payload), self.message_bytes_max, "bytes")

    def _drive(self, drive: Drive) -> Iterator[str]:
        whole = (
            self._count("order.nodes", len(drive.nodes), self.order_nodes_max, "entries"),
            self._count("order.edges", len(drive.edges), self.order_edges_max, "entries"),
            self._id("orderId", drive.drive_id),
            *(self._id("edgeId", edge.edge) for edge in drive.edges),
            *(self._id("nodeId", node.node) for node in drive.nodes),
        )
        yield from filter(None, whole)
        for node in drive.nodes:
            counted = self._count(f"node.actions of {node.node}", len(node.actions), self.node_actions_max, "entries")
            if counted:
                yield counted
            for action in node.actions:
                yield from self._action(action, action.kind, self.node_kinds, "at nodes")

    def _instant(self, instant: Instant, version: Version) -> Iterator[str]:
        kind = version.instant_kind(instant.kind)
        kinds = None if instant.kind in _ALWAYS else self.instant_kinds
        yield from self._action(instant, kind, kinds, "as an instant action")

    def _action(
        self, action: DriveAction | Instant, kind: str, kinds: frozenset[str] | None, where: str
    ) -> Iterator[str]:
        if kinds is not None and kind not in kinds:
            known = ", ".join(sorted(kinds)) or "none"
            yield f"action {kind} is not among those that its factsheet lists {where} ({known}): use another vehicle"
        parameters = {key: value for key, value in action.parameters.items() if value is not None}
        load = parameters.get("loadId")
        problems = (
            self._id("actionId", action.action_id),
            self._count(f"actionParameters of {kind}", len(parameters), self.parameters_max, "entries"),
            self._count(f"loadId {load!r}", len(load), self.load_id_chars_max, "characters")
            if isinstance(load, str)
            else None,
        )
        yield from filter(None, problems)

    def _count(self, name: str, value: int, limit: int, unit: str) -> str | None:
        if not limit or value <= limit:
            return None
        return f"{name} has {value} {unit}, its factsheet allows {limit}: shorten it, or use another vehicle"

    def _id(self, name: str, value: str) -> str | None:
        # The standard sets no alphabet; `idNumericalOnly` is the vehicle's own narrowing of it.
        if self.ids_numeric and not value.isdecimal():
            return f"{name} {value!r} is not a number, its factsheet allows numbers only: use another vehicle"
        return self._count(f"{name} {value!r}", len(value), self.id_chars_max, "characters")


def read(message: Any, version: Version) -> Limits:
    """The limits in a decoded factsheet (`messages.Factsheet`)."""
    features, limits = message.protocol_features, message.protocol_limits
    specs = (features.mobile_robot_actions if version.is_3 else features.agv_actions) or ()
    strings = arrays = None
    if limits is not None:
        strings = limits.maximum_string_lengths if version.is_3 else limits.max_string_lens
        arrays = limits.maximum_array_lengths if version.is_3 else limits.max_array_lens
    scoped = {
        scope: frozenset(spec.action_type for spec in specs if not spec.action_scopes or scope in spec.action_scopes)
        for scope in ("NODE", "INSTANT")
    }

    def string(old: str, new: str) -> int:
        return getattr(strings, new if version.is_3 else old, 0) or 0

    def array(name: str) -> int:
        return getattr(arrays, name, 0) or 0

    timing = limits.timing if limits is not None else None
    interval_s = getattr(timing, "minimum_order_interval" if version.is_3 else "min_order_interval", None) or 0.0
    return Limits(
        # A vehicle that lists no action at all has not filled in the field; it may know some.
        node_kinds=scoped["NODE"] if specs else None,
        instant_kinds=scoped["INSTANT"] if specs else None,
        order_nodes_max=array("order_nodes"),
        order_edges_max=array("order_edges"),
        node_actions_max=array("node_actions"),
        parameters_max=array("action_parameters"),
        message_bytes_max=string("msg_len", "maximum_message_length"),
        id_chars_max=string("id_len", "maximum_id_length"),
        load_id_chars_max=string("load_id_len", "maximum_load_id_length"),
        ids_numeric=bool(getattr(strings, "id_numerical_only", False)),
        order_interval_s=min(max(interval_s, 0.0), _INTERVAL_S_MAX),
    )
