"""From a drive or an instant to VDA 5050's order and instantActions, in the vehicle's version. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from drivers.vda5050 import messages as wire
from drivers.vda5050.version import Version
from gateway.contract import Scalar
from gateway.devices.agv import Drive, DriveAction, DriveEdge, Instant

_ENCODER = msgspec.json.Encoder()
KEPT_MAX = 8
"""Messages of one vehicle that are kept for being sent again: more than it has open, and some kB each."""


class Sender:
    """Writes the messages to one vehicle; counts `headerId` per topic from 1.

    A message that is asked for again is given again byte by byte, `headerId` and `timestamp` included: it is the same
    message, sent a second time because the first may have been lost (QoS 0), and a vehicle can tell it from a new one.
    """

    def __init__(self, version: Version, manufacturer: str, serial: str) -> None:
        self._version = version
        self._manufacturer = manufacturer
        self._serial = serial
        self._header_ids: dict[str, int] = {}
        self._kept: OrderedDict[tuple[str, str, int], tuple[Drive | Instant, bytes]] = OrderedDict()

    def order(self, drive: Drive, timestamp: str) -> bytes:
        """The order message; positions in metres, speeds in m/s, `timestamp` as ISO 8601 in UTC."""
        key = ("order", drive.drive_id, drive.update_id)
        return self._again(key, drive) or self._keep(key, drive, self._order(drive, timestamp))

    def instant_actions(self, instant: Instant, timestamp: str) -> bytes:
        """The instantActions message with one action."""
        key = ("instant", instant.action_id, 0)
        return self._again(key, instant) or self._keep(key, instant, self._instant_actions(instant, timestamp))

    def responses(self, responses: tuple[wire.Response, ...], timestamp: str) -> bytes:
        """The responses message of 3.0."""
        return _ENCODER.encode(
            wire.Responses(
                header_id=self._next("responses"),
                timestamp=timestamp,
                version=self._version.text,
                manufacturer=self._manufacturer,
                serial_number=self._serial,
                responses=responses,
            )
        )

    def _again(self, key: tuple[str, str, int], action: Drive | Instant) -> bytes | None:
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == action else None

    def _keep(self, key: tuple[str, str, int], action: Drive | Instant, payload: bytes) -> bytes:
        self._kept[key] = (action, payload)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return payload

    def _order(self, drive: Drive, timestamp: str) -> bytes:
        return _ENCODER.encode(
            wire.Order(
                header_id=self._next("order"),
                timestamp=timestamp,
                version=self._version.text,
                manufacturer=self._manufacturer,
                serial_number=self._serial,
                order_id=drive.drive_id,
                order_update_id=drive.update_id,
                nodes=tuple(
                    wire.Node(
                        node_id=node.node,
                        sequence_id=node.sequence_id,
                        released=node.released,
                        node_position=wire.NodePosition(x=node.x_mm / 1000, y=node.y_mm / 1000, map_id=drive.map_id),
                        actions=tuple(_action(action) for action in node.actions),
                    )
                    for node in drive.nodes
                ),
                edges=tuple(self._edge(edge) for edge in drive.edges),
            )
        )

    def _instant_actions(self, instant: Instant, timestamp: str) -> bytes:
        kind = self._version.instant_kind(instant.kind)
        action = wire.Action(
            action_type=kind,
            action_name=kind if (self._version.major, self._version.minor) == (2, 0) else UNSET,
            action_id=instant.action_id,
            # 3.0 knows no other: an instant action never waits for the drive.
            blocking_type="NONE" if self._version.is_3 else instant.blocking,
            action_parameters=_parameters(instant.parameters),
        )
        return _ENCODER.encode(
            wire.InstantActions(
                header_id=self._next("instantActions"),
                timestamp=timestamp,
                version=self._version.text,
                manufacturer=self._manufacturer,
                serial_number=self._serial,
                actions=(action,),
            )
        )

    def _edge(self, edge: DriveEdge) -> wire.Edge:
        speed_m_s = edge.speed_max_mm_s / 1000
        is_3 = self._version.is_3
        return wire.Edge(
            edge_id=edge.edge,
            sequence_id=edge.sequence_id,
            released=edge.released,
            start_node_id=UNSET if is_3 else edge.from_node,
            end_node_id=UNSET if is_3 else edge.to_node,
            max_speed=UNSET if is_3 else speed_m_s,
            maximum_speed=speed_m_s if is_3 else UNSET,
        )

    def _next(self, topic: str) -> int:
        self._header_ids[topic] = self._header_ids.get(topic, 0) + 1
        return self._header_ids[topic]


def _action(action: DriveAction) -> wire.Action:
    return wire.Action(
        action_type=action.kind,
        action_id=action.action_id,
        blocking_type="HARD",
        action_parameters=_parameters(action.parameters),
    )


def _parameters(parameters: Mapping[str, Scalar]) -> tuple[wire.ActionParameter, ...]:
    # The schema knows no null: a parameter without a value is left out.
    return tuple(wire.ActionParameter(key=k, value=v) for k, v in parameters.items() if v is not None)
