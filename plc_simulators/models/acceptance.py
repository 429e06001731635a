"""Which orders and updates a vehicle accepts: VDA 5050's rules. A refusal is the error's type and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plc_simulators.models.vda_order import Node, Order

if TYPE_CHECKING:
    from plc_simulators.models.agv import Agv

DEVIATION_MM = 300.0
"""An order's first node may be this far from where the vehicle stands."""
NODE_ACTIONS = ("pick", "drop")


def refuse_new(agv: Agv, order: Order) -> tuple[str, str] | None:
    if not agv.idle:
        return "orderError", f"order {agv.order_id} is not finished: cancel it or wait"
    if order.update_id != 0:
        return (
            "orderUpdateError",
            f"no order {order.id} is known: a new order begins with orderUpdateId 0",
        )
    first = order.nodes[0]
    if first.id != agv.last_node and not near(agv, first):
        return "noRouteError", f"node {first.id} can't be reached: the vehicle stands at {agv.last_node}"
    return refuse_content(agv, order)


def refuse_update(agv: Agv, order: Order) -> tuple[str, str] | None:
    if order.update_id < agv.update_id:
        return (
            "orderUpdateError",
            f"update {order.update_id} is older than {agv.update_id}, which is in force",
        )
    if agv.cancelled or agv.cancel is not None:
        return "orderUpdateError", f"order {order.id} has been cancelled: send a new order"
    base = [node for node in agv.nodes if node.released]
    last, first = (base[-1] if base else agv.here), order.nodes[0]
    if (first.id, first.seq) != (last.id, last.seq):
        found = f"{first.id} (sequenceId {first.seq})"
        return "orderUpdateError", f"update begins at {found}, the base ends at {last.id} ({last.seq})"
    if first.actions != last.actions:
        return (
            "orderUpdateError",
            f"node {first.id} of the update has other actions than the base's last node",
        )
    return refuse_content(agv, order)


def refuse_content(agv: Agv, order: Order) -> tuple[str, str] | None:
    for node in order.nodes:
        if node.position_mm is None and node.id not in agv.world.nodes:
            return "orderError", f"node {node.id} has no position and is not on this vehicle's map"
        for action in node.actions:
            if action.type not in NODE_ACTIONS:
                return (
                    "orderError",
                    f"action {action.type} is not supported at nodes, only pick and drop are",
                )
    if any(edge.actions for edge in order.edges):
        return "orderError", "actions on edges are not supported: put them on nodes"
    return None


def near(agv: Agv, node: Node) -> bool:
    x_mm, y_mm = position(agv, node)
    return (x_mm - agv.x_mm) ** 2 + (y_mm - agv.y_mm) ** 2 <= DEVIATION_MM**2


def position(agv: Agv, node: Node) -> tuple[float, float]:
    if node.position_mm is not None:
        return node.position_mm
    x_mm, y_mm = agv.world.nodes[node.id]
    return float(x_mm), float(y_mm)
