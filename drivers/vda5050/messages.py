"""VDA 5050 2.1 messages as they stand on the wire (JSON, camelCase, metres, radians, percent).

What vehicles send is read leniently (unknown fields are allowed by the standard) but typed: a wrong type or
an unknown enumeration value is a ValidationError. Source: the official JSON schemas of VDA 5050 2.1.0.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""Sequence and update numbers; uint32 in the standard."""

# --- what we send ---


class Outgoing(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An object of ours; every field is written."""


class ActionParameter(Outgoing, frozen=True):
    key: str
    value: bool | int | float | str


class Action(Outgoing, frozen=True):
    action_type: str
    action_id: str
    blocking_type: str
    action_parameters: tuple[ActionParameter, ...] = ()


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
    start_node_id: str
    end_node_id: str
    max_speed: float
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


# --- what vehicles send ---


class Incoming(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A part of a vehicle's message; unknown fields are ignored."""


class NodeState(Incoming, frozen=True):
    node_id: str
    sequence_id: Count
    released: bool


class EdgeState(Incoming, frozen=True):
    edge_id: str
    sequence_id: Count
    released: bool


class AgvPosition(Incoming, frozen=True):
    x: float
    y: float
    theta: float
    map_id: str = ""
    position_initialized: bool = True


class Velocity(Incoming, frozen=True):
    vx: float = 0.0
    vy: float = 0.0
    omega: float = 0.0


class LoadState(Incoming, frozen=True):
    load_id: str | None = None


class ActionStateMessage(Incoming, frozen=True):
    action_id: str
    # PAUSED is in the standard's text but missing in its 2.1 schema; RETRIABLE is 3.0's.
    action_status: Literal["WAITING", "INITIALIZING", "RUNNING", "PAUSED", "FINISHED", "FAILED"]
    result_description: str | None = None


class BatteryState(Incoming, frozen=True):
    battery_charge: float
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
    e_stop: Literal["AUTOACK", "MANUAL", "REMOTE", "NONE"]
    field_violation: bool


class State(Incoming, frozen=True):
    serial_number: str
    order_id: str
    order_update_id: Count
    last_node_id: str
    last_node_sequence_id: Count
    node_states: tuple[NodeState, ...]
    edge_states: tuple[EdgeState, ...]
    driving: bool
    operating_mode: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL", "SERVICE", "TEACHIN"]
    action_states: tuple[ActionStateMessage, ...]
    battery_state: BatteryState
    errors: tuple[ErrorState, ...]
    safety_state: SafetyState
    paused: bool | None = None
    new_base_request: bool | None = None
    agv_position: AgvPosition | None = None
    velocity: Velocity | None = None
    loads: tuple[LoadState, ...] | None = None


class Connection(Incoming, frozen=True):
    serial_number: str
    connection_state: Literal["ONLINE", "OFFLINE", "CONNECTIONBROKEN"]


class Visualization(Incoming, frozen=True):
    agv_position: AgvPosition | None = None
    velocity: Velocity | None = None


class TypeSpecification(Incoming, frozen=True):
    series_name: str


class PhysicalParameters(Incoming, frozen=True):
    speed_max: float
    width: float
    length: float


class AgvActionSpec(Incoming, frozen=True):
    action_type: str


class ProtocolFeatures(Incoming, frozen=True):
    agv_actions: tuple[AgvActionSpec, ...]


class Factsheet(Incoming, frozen=True):
    serial_number: str
    type_specification: TypeSpecification
    physical_parameters: PhysicalParameters
    protocol_features: ProtocolFeatures
