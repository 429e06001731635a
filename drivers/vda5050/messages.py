"""VDA 5050 messages of 2.0, 2.1 and 3.0 as they stand on the wire (JSON, camelCase, metres, radians, percent).

One object for all versions: what only some of them know is UNSET on the way out and None on the way in, and the
encoder and the decoder say which of two names counts. What vehicles send is read leniently (unknown fields are allowed
by the standard) but typed: a wrong type or an unknown enumeration value is a ValidationError. Source: the official JSON
schemas of VDA 5050 2.0.0, 2.1.0 and 3.0.0.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""Sequence and update numbers; uint32 in the standard."""

# --- what we send ---


class Outgoing(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An object of ours; every field is written but those that are UNSET."""


class ActionParameter(Outgoing, frozen=True):
    key: str
    value: bool | int | float | str


class Action(Outgoing, frozen=True):
    action_type: str
    action_id: str
    blocking_type: str
    action_parameters: tuple[ActionParameter, ...] = ()
    action_name: str | UnsetType = UNSET
    """2.0's schema of instantActions demands the type under this name, against its own text: both are written."""


class NodePosition(Outgoing, frozen=True):
    x: float
    y: float
    map_id: str


class Node(Outgoing, frozen=True):
    node_id: str
    sequence_id: int
    released: bool
    node_position: NodePosition
    actions: tuple[Action, ...] = ()


class Edge(Outgoing, frozen=True):
    edge_id: str
    sequence_id: int
    released: bool
    start_node_id: str | UnsetType = UNSET
    end_node_id: str | UnsetType = UNSET
    max_speed: float | UnsetType = UNSET
    """2.x, like the two above."""
    maximum_speed: float | UnsetType = UNSET
    """3.0."""
    actions: tuple[Action, ...] = ()


class Header(Outgoing, frozen=True):
    """What every message of ours begins with; `header_id` counts per topic."""

    header_id: int
    timestamp: str
    version: str
    manufacturer: str
    serial_number: str


class Order(Header, frozen=True):
    order_id: str
    order_update_id: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class InstantActions(Header, frozen=True):
    actions: tuple[Action, ...]


class Response(Outgoing, frozen=True):
    """The answer to one request of a 3.0 vehicle. Its text calls `grantType` responseType; the schema decides."""

    request_id: str
    grant_type: Literal["GRANTED", "QUEUED", "REVOKED", "REJECTED"]
    lease_expiry: str | UnsetType = UNSET


class Responses(Header, frozen=True):
    responses: tuple[Response, ...]


# --- what vehicles send ---


class Incoming(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A part of a vehicle's message; unknown fields are ignored."""


class Head(Incoming, frozen=True):
    """Read where a message can't be: one of another version must not be judged by this one's fields."""

    version: str = ""


class NodeState(Incoming, frozen=True):
    node_id: str
    sequence_id: Count
    released: bool


class EdgeState(Incoming, frozen=True):
    edge_id: str
    sequence_id: Count
    released: bool


class Position(Incoming, frozen=True):
    """agvPosition, since 3.0 mobileRobotPosition."""

    x: float
    y: float
    theta: float
    map_id: str = ""
    position_initialized: bool | None = None
    localized: bool | None = None
    """3.0's name for it."""


class Velocity(Incoming, frozen=True):
    vx: float = 0.0
    vy: float = 0.0
    omega: float = 0.0


class LoadState(Incoming, frozen=True):
    load_id: str | None = None


class ActionStateMessage(Incoming, frozen=True):
    action_id: str
    # PAUSED is in the standard's text but missing in its 2.x schemas; RETRIABLE is 3.0's.
    action_status: Literal["WAITING", "INITIALIZING", "RUNNING", "PAUSED", "RETRIABLE", "FINISHED", "FAILED"]
    result_description: str | None = None
    action_result: str | None = None
    """3.0's name for it."""


class BatteryState(Incoming, frozen=True):
    battery_charge: float
    charging: bool


class PowerSupply(Incoming, frozen=True):
    """What 3.0 has instead of batteryState."""

    state_of_charge: float
    charging: bool


class ErrorReference(Incoming, frozen=True):
    reference_key: str
    reference_value: str


class ErrorState(Incoming, frozen=True):
    error_type: str
    error_level: Literal["WARNING", "FATAL", "URGENT", "CRITICAL"]
    error_description: str | None = None
    error_references: tuple[ErrorReference, ...] | None = None


class SafetyState(Incoming, frozen=True):
    field_violation: bool
    e_stop: Literal["AUTOACK", "MANUAL", "REMOTE", "NONE"] | None = None
    active_emergency_stop: Literal["MANUAL", "REMOTE", "NONE"] | None = None
    """3.0's name for it."""


class MapState(Incoming, frozen=True):
    """A map that the vehicle holds; of one id at most one version is enabled. Since 2.1."""

    map_id: str
    map_status: Literal["ENABLED", "DISABLED"]


# QUEUED is in 3.0's text but missing in its schema.
RequestStatus = Literal["REQUESTED", "GRANTED", "REVOKED", "EXPIRED", "QUEUED", "REJECTED"]


class EdgeRequest(Incoming, frozen=True):
    """3.0: the vehicle asks to use the corridor of an edge."""

    request_id: str
    edge_id: str
    sequence_id: Count
    request_status: RequestStatus


class ZoneRequest(Incoming, frozen=True):
    """3.0: the vehicle asks to enter a zone, or to plan anew within it."""

    request_id: str
    zone_id: str
    zone_set_id: str
    request_status: RequestStatus


class State(Incoming, frozen=True):
    serial_number: str
    order_id: str
    order_update_id: Count
    last_node_id: str
    last_node_sequence_id: Count
    node_states: tuple[NodeState, ...]
    edge_states: tuple[EdgeState, ...]
    driving: bool
    operating_mode: Literal[
        "AUTOMATIC", "SEMIAUTOMATIC", "MANUAL", "SERVICE", "TEACHIN", "TEACH_IN", "STARTUP", "INTERVENED"
    ]
    action_states: tuple[ActionStateMessage, ...]
    errors: tuple[ErrorState, ...]
    safety_state: SafetyState
    battery_state: BatteryState | None = None
    power_supply: PowerSupply | None = None
    instant_action_states: tuple[ActionStateMessage, ...] | None = None
    paused: bool | None = None
    new_base_request: bool | None = None
    agv_position: Position | None = None
    mobile_robot_position: Position | None = None
    velocity: Velocity | None = None
    loads: tuple[LoadState, ...] | None = None
    version: str = ""
    header_id: int = 0
    timestamp: str = ""
    maps: tuple[MapState, ...] | None = None
    edge_requests: tuple[EdgeRequest, ...] | None = None
    zone_requests: tuple[ZoneRequest, ...] | None = None


class Connection(Incoming, frozen=True):
    serial_number: str
    connection_state: Literal["ONLINE", "OFFLINE", "HIBERNATING", "CONNECTIONBROKEN", "CONNECTION_BROKEN"]


class Visualization(Incoming, frozen=True):
    agv_position: Position | None = None
    mobile_robot_position: Position | None = None
    velocity: Velocity | None = None


class TypeSpecification(Incoming, frozen=True):
    series_name: str


class PhysicalParameters(Incoming, frozen=True):
    width: float
    length: float
    speed_max: float | None = None
    maximum_speed: float | None = None
    """3.0's name for it."""


class ActionSpec(Incoming, frozen=True):
    action_type: str
    action_scopes: tuple[str, ...] = ()


class ProtocolFeatures(Incoming, frozen=True):
    agv_actions: tuple[ActionSpec, ...] | None = None
    mobile_robot_actions: tuple[ActionSpec, ...] | None = None
    """3.0's name for it."""


class StringLengths(Incoming, frozen=True):
    """Longest strings; the second name of each pair is 3.0's. Missing or 0: no limit."""

    msg_len: Count | None = None
    maximum_message_length: Count | None = None
    id_len: Count | None = None
    maximum_id_length: Count | None = None
    load_id_len: Count | None = None
    maximum_load_id_length: Count | None = None
    id_numerical_only: bool = False


class ArrayLengths(Incoming, frozen=True):
    """Longest arrays of what we send. Missing or 0: no limit."""

    order_nodes: Count = msgspec.field(name="order.nodes", default=0)
    order_edges: Count = msgspec.field(name="order.edges", default=0)
    node_actions: Count = msgspec.field(name="node.actions", default=0)
    action_parameters: Count = msgspec.field(name="actions.actionsParameters", default=0)
    instant_actions: Count = msgspec.field(name="instantActions", default=0)


class Timing(Incoming, frozen=True):
    """Seconds. The other intervals are about what the vehicle sends."""

    min_order_interval: float | None = None
    minimum_order_interval: float | None = None
    """3.0's name for it."""


class ProtocolLimits(Incoming, frozen=True):
    max_string_lens: StringLengths | None = None
    max_array_lens: ArrayLengths | None = None
    maximum_string_lengths: StringLengths | None = None
    maximum_array_lengths: ArrayLengths | None = None
    """3.0's names for the two above."""
    timing: Timing | None = None


class Factsheet(Incoming, frozen=True):
    serial_number: str
    type_specification: TypeSpecification
    physical_parameters: PhysicalParameters
    protocol_features: ProtocolFeatures
    protocol_limits: ProtocolLimits | None = None
