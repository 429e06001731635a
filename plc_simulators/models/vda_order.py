"""A VDA 5050 2.1 order and instant action, read from their JSON: the vehicle's first gate.

Everything that is malformed raises `MalformedError` with a text that a person can act on. Positions are millimetres
here (metres on the wire), speeds mm/s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

NODES_MAX = 200
ACTIONS_MAX = 20
BLOCKING = ("NONE", "SOFT", "HARD")


class MalformedError(ValueError):
    """The message is not what the standard's schema and rules ask for."""


@dataclass(frozen=True, slots=True)
class Action:
    id: str
    type: str
    blocking: str = "HARD"
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    seq: int
    released: bool
    position_mm: tuple[float, float] | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    id: str
    seq: int
    released: bool
    speed_mm_s: float | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Nodes and edges in driving order, edges = nodes − 1, numbered in one row; released ones first."""

    id: str
    update_id: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def read_order(message: Any) -> Order:
    """Build the order from a decoded `order` message. Raises MalformedError."""
    body = _headed(message, "order")
    nodes = tuple(_node(entry) for entry in _list(body, "nodes", NODES_MAX))
    edges = tuple(_edge(entry) for entry in _list(body, "edges", NODES_MAX))
    order = Order(_text(body, "orderId"), _count(body, "orderUpdateId"), nodes, edges)
    if not order.id:
        raise MalformedError("orderId is empty")
    if not nodes or len(edges) != len(nodes) - 1:
        raise MalformedError(f"{len(nodes)} nodes and {len(edges)} edges: edges must be one fewer than nodes")
    row: list[Node | Edge] = [nodes[0]]
    for edge, node in zip(edges, nodes[1:], strict=True):
        row += [edge, node]
    for before, after in pairwise(row):
        if after.seq != before.seq + 1:
            raise MalformedError(f"sequenceId {after.seq} follows {before.seq}: ids must count up one by one")
        if after.released and not before.released:
            raise MalformedError(f"sequenceId {after.seq} is released behind {before.seq}, which is not")
    if not nodes[0].released:
        raise MalformedError("the first node is not released: an order needs a base")
    ids = [action.id for entry in row for action in entry.actions]
    if len(ids) != len(set(ids)):
        raise MalformedError("an actionId occurs twice")
    return order


def read_instant_actions(message: Any) -> tuple[Action, ...]:
    """Build the actions of a decoded `instantActions` message. Raises MalformedError."""
    return tuple(_action(entry) for entry in _list(_object(message, "instantActions"), "actions", ACTIONS_MAX))


def _headed(message: Any, name: str) -> Mapping[str, Any]:
    """The message with the five header fields that every topic must have."""
    body = _object(message, name)
    _count(body, "headerId")
    for field_name in ("timestamp", "manufacturer", "serialNumber"):
        _text(body, field_name)
    if not _text(body, "version").startswith("2."):
        raise MalformedError(f"version {body['version']} is not 2.x")
    return body


def _node(value: Any) -> Node:
    body = _object(value, "node")
    position = body.get("nodePosition")
    position_mm = None
    if position is not None:
        place = _object(position, "nodePosition")
        position_mm = (_number(place, "x") * 1000, _number(place, "y") * 1000)
    actions = tuple(_action(entry) for entry in _list(body, "actions", ACTIONS_MAX))
    return Node(_text(body, "nodeId"), _count(body, "sequenceId"), _flag(body, "released"), position_mm, actions)


def _edge(value: Any) -> Edge:
    body = _object(value, "edge")
    _text(body, "startNodeId")
    _text(body, "endNodeId")
    speed_mm_s = _number(body, "maxSpeed") * 1000 if body.get("maxSpeed") is not None else None
    if speed_mm_s is not None and speed_mm_s <= 0:
        raise MalformedError(f"maxSpeed of edge {body.get('edgeId')} is {speed_mm_s / 1000} m/s: it must be above 0")
    actions = tuple(_action(entry) for entry in _list(body, "actions", ACTIONS_MAX))
    return Edge(_text(body, "edgeId"), _count(body, "sequenceId"), _flag(body, "released"), speed_mm_s, actions)


def _action(value: Any) -> Action:
    body = _object(value, "action")
    blocking = _text(body, "blockingType")
    if blocking not in BLOCKING:
        raise MalformedError(f"blockingType {blocking} is none of {', '.join(BLOCKING)}")
    parameters: dict[str, Any] = {}
    if body.get("actionParameters") is not None:
        for entry in _list(body, "actionParameters", ACTIONS_MAX):
            parameter = _object(entry, "actionParameter")
            parameters[_text(parameter, "key")] = parameter.get("value")
    return Action(_text(body, "actionId"), _text(body, "actionType"), blocking, parameters)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not a JSON object")
    return value


def _list(body: Mapping[str, Any], name: str, length_max: int) -> Sequence[Any]:
    value = body.get(name)
    if not isinstance(value, list):
        raise MalformedError(f"{name} is missing or not an array")
    if len(value) > length_max:
        raise MalformedError(f"{name} has {len(value)} entries, at most {length_max} are taken")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise MalformedError(f"{name} is missing or not a string")
    return value


def _count(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedError(f"{name} is missing or not a whole number from 0 on")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise MalformedError(f"{name} is missing or not true or false")
    return value


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError(f"{name} is missing or not a number")
    return float(value)
