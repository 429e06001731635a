"""A vehicle that speaks VDA 5050 2.1: what it does with orders, and how it drives, picks and drops.

It drives straight from node to node at the edge's speed, without acceleration. Every node action is done standing
and alone (as HARD asks; for NONE and SOFT that is the careful choice), in the order given. Positions are
millimetres; the wire's metres are the server's affair.
"""

from __future__ import annotations

from dataclasses import dataclass

from plc_simulators.layout import VehicleLayout
from plc_simulators.models.controller import SCAN_NS, SCAN_S
from plc_simulators.models.deck import HANDLING_NS, Deck, World
from plc_simulators.models.vda_order import Action, Edge, Node, Order

DEVIATION_MM = 300.0
"""An order's first node may be this far from where the vehicle stands."""
BATTERY_PER_MM = 1e-6
"""Percent: 1 % per kilometre."""
CHARGE_PER_S = 1 / 60
ERRORS_MAX = 16
INSTANT_STATES_MAX = 32
WARNING, FATAL = "WARNING", "FATAL"
NODE_ACTIONS = ("pick", "drop")
INSTANT_ACTIONS = (
    "cancelOrder",
    "startPause",
    "stopPause",
    "startCharging",
    "stopCharging",
    "stateRequest",
    "factsheetRequest",
)
ENDED = ("FINISHED", "FAILED")


@dataclass(slots=True)
class ActionState:
    id: str
    type: str
    status: str = "WAITING"
    result: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Error:
    type: str
    level: str
    description: str
    references: tuple[tuple[str, str], ...] = ()


class Agv:
    """One vehicle. `version` grows with every event that the standard wants a state message for."""

    def __init__(self, layout: VehicleLayout, world: World) -> None:
        self.layout = layout
        self.world = world
        x_mm, y_mm = world.nodes[layout.home]
        self.x_mm, self.y_mm = float(x_mm), float(y_mm)
        self.version = 1
        self.factsheet_requests = 0
        self.order_id = ""
        self.update_id = 0
        self.last_node = layout.home
        self.last_seq = 0
        self.nodes: list[Node] = []
        """Nodes still to be reached."""
        self.edges: list[Edge] = []
        self.actions: list[ActionState] = []
        self.errors: list[Error] = []
        self.deck = Deck(world)
        self.driving = False
        self.paused = False
        self.charging = False
        self.failed = False
        self.battery_percent = 95.0
        self.velocity_mm_s = (0.0, 0.0)
        self.since_node_mm = 0.0
        self.orders_accepted = 0
        self.orders_refused = 0
        self.actions_done = 0
        self._here = Node("", 0, True)
        """The node that was reached last, as the order had it: what an update must begin with."""
        self._todo: list[Action] = []
        """Actions of the node where the vehicle stands that have not ended."""
        self._worked_ns = 0
        self._cancel: ActionState | None = None
        self._cancelled = False

    # --- what comes over the wire ---

    def order(self, order: Order) -> None:
        """Accept or refuse an order or an update, by the standard's rules; a duplicate changes nothing."""
        if order.id == self.order_id:
            if order.update_id == self.update_id:
                return
            refusal = self._refuse_update(order)
        else:
            refusal = self._refuse_new(order)
        if refusal is not None:
            references = (("orderId", order.id), ("orderUpdateId", str(order.update_id)))
            self.orders_refused += 1
            self._error(Error(refusal[0], WARNING, refusal[1], references))
            return
        if order.id == self.order_id:
            self._extend(order)
        else:
            self._begin(order)
        self.orders_accepted += 1
        # Refusals are answers to messages; the next message that is right ends them.
        self.errors = [error for error in self.errors if error.level == FATAL]
        self.version += 1

    def malformed(self, topic: str, reason: str) -> None:
        """A message that could not even be read."""
        self.orders_refused += topic == "order"
        self._error(Error("validationError", WARNING, reason, (("topic", topic),)))

    def instant(self, action: Action) -> None:
        """Do an instant action; one whose id is known already is ignored."""
        if any(state.id == action.id for state in self.actions):
            return
        state = ActionState(action.id, action.type, instant=True)
        self._remember_instant(state)
        if action.type == "cancelOrder":
            self._begin_cancel(state)
        elif action.type in INSTANT_ACTIONS:
            self._instant(action.type)
            state.status = "FINISHED"
        else:
            state.status, state.result = (
                "FAILED",
                f"{action.type} is not among this vehicle's instant actions",
            )
            self._error(
                Error("unsupportedAction", WARNING, state.result, (("actionId", action.id),)),
            )
        self.version += 1

    # --- orders ---

    @property
    def idle(self) -> bool:
        """Idle in the standard's sense: nothing to drive, and every action of the order has ended."""
        return (
            not self.nodes
            and not self.edges
            and self._cancel is None
            and all(state.status in ENDED for state in self.actions if not state.instant)
        )

    @property
    def new_base_request(self) -> bool:
        """The base is about to run out before the horizon."""
        released = sum(node.released for node in self.nodes)
        return released < len(self.nodes) and released <= 1

    def _refuse_new(self, order: Order) -> tuple[str, str] | None:
        if not self.idle:
            return "orderError", f"order {self.order_id} is not finished: cancel it or wait"
        if order.update_id != 0:
            return (
                "orderUpdateError",
                f"no order {order.id} is known: a new order begins with orderUpdateId 0",
            )
        first = order.nodes[0]
        if first.id != self.last_node and not self._near(first):
            return "noRouteError", f"node {first.id} can't be reached: the vehicle stands at {self.last_node}"
        return self._refuse_content(order)

    def _refuse_update(self, order: Order) -> tuple[str, str] | None:
        if order.update_id < self.update_id:
            return (
                "orderUpdateError",
                f"update {order.update_id} is older than {self.update_id}, which is in force",
            )
        if self._cancelled or self._cancel is not None:
            return "orderUpdateError", f"order {order.id} has been cancelled: send a new order"
        base = [node for node in self.nodes if node.released]
        last, first = (base[-1] if base else self._here), order.nodes[0]
        if (first.id, first.seq) != (last.id, last.seq):
            found = f"{first.id} (sequenceId {first.seq})"
            return "orderUpdateError", f"update begins at {found}, the base ends at {last.id} ({last.seq})"
        if first.actions != last.actions:
            return (
                "orderUpdateError",
                f"node {first.id} of the update has other actions than the base's last node",
            )
        return self._refuse_content(order)

    def _refuse_content(self, order: Order) -> tuple[str, str] | None:
        for node in order.nodes:
            if node.position_mm is None and node.id not in self.world.nodes:
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

    def _near(self, node: Node) -> bool:
        x_mm, y_mm = self._position(node)
        return (x_mm - self.x_mm) ** 2 + (y_mm - self.y_mm) ** 2 <= DEVIATION_MM**2

    def _position(self, node: Node) -> tuple[float, float]:
        if node.position_mm is not None:
            return node.position_mm
        x_mm, y_mm = self.world.nodes[node.id]
        return float(x_mm), float(y_mm)

    def _begin(self, order: Order) -> None:
        self.order_id, self.update_id = order.id, order.update_id
        self.nodes, self.edges = list(order.nodes), list(order.edges)
        self.actions = [ActionState(action.id, action.type) for node in order.nodes for action in node.actions]
        self.charging = False
        self._cancelled = False
        self._reach()

    def _extend(self, order: Order) -> None:
        """Append an update to the base; the horizon that was known is void."""
        void = {action.id for node in self.nodes if not node.released for action in node.actions}
        self.actions = [state for state in self.actions if state.id not in void]
        self.nodes = [node for node in self.nodes if node.released] + list(order.nodes[1:])
        self.edges = [edge for edge in self.edges if edge.released] + list(order.edges)
        self.actions += [ActionState(action.id, action.type) for node in order.nodes[1:] for action in node.actions]
        self.update_id = order.update_id
        self.charging = False

    # --- instant actions ---

    def _instant(self, type_: str) -> None:
        if type_ in ("startPause", "stopPause"):
            self.paused = type_ == "startPause"
        elif type_ in ("startCharging", "stopCharging"):
            self.charging = type_ == "startCharging"
        elif type_ == "factsheetRequest":
            self.factsheet_requests += 1

    def _remember_instant(self, state: ActionState) -> None:
        self.actions.append(state)
        ended = [known for known in self.actions if known.instant and known.status in ENDED]
        for known in ended[: max(0, len(ended) - INSTANT_STATES_MAX)]:
            self.actions.remove(known)

    def _begin_cancel(self, state: ActionState) -> None:
        if self.idle:
            state.status, state.result = "FAILED", "there is no order to cancel"
            self._error(Error("noOrderToCancel", WARNING, state.result, (("actionId", state.id),)))
            return
        if self._cancel is not None:
            state.status, state.result = "FAILED", "another cancelOrder is under way"
            return
        state.status = "RUNNING"
        self._cancel = state
        # A vehicle between two nodes drives on to the next one: it can't stand on an edge for a new order.
        keep = 1 if self._between_nodes() else 0
        self.nodes, self.edges = self.nodes[:keep], self.edges[:keep]
        if keep:
            node = self.nodes[0]
            self.nodes[0] = Node(node.id, node.seq, node.released, node.position_mm)
        for other in self.actions:
            if not other.instant and other.status == "WAITING":
                other.status, other.result = "FAILED", "the order was cancelled"
        running = {other.id for other in self.actions if other.status == "RUNNING"}
        self._todo = [action for action in self._todo if action.id in running]

    def _between_nodes(self) -> bool:
        return self.since_node_mm > 0 and bool(self.nodes)

    def _end_cancel(self) -> None:
        assert self._cancel is not None, "no cancelOrder is under way"
        self._cancel.status = "FINISHED"
        self._cancel = None
        self._cancelled = True
        self.version += 1

    # --- motion and work ---

    def fail(self, on: bool) -> None:
        """A drive fault: the vehicle stops where it is, and goes on when the fault is gone."""
        self.failed = on
        self.errors = [error for error in self.errors if error.level != FATAL]
        if on:
            self._stop()
            text = "drive fault: check the motor, then acknowledge at the vehicle"
            self._error(Error("driveFault", FATAL, text, (("orderId", self.order_id),)))
        self.version += 1

    def step(self) -> None:
        """One step of the vehicle's own controller."""
        if self.charging:
            self.battery_percent = min(100.0, self.battery_percent + CHARGE_PER_S * SCAN_S)
        if self.failed:
            return
        if self._todo:
            self._stop()
            if not self.paused:
                self._work(self._todo[0])
            return
        if self._cancel is not None and not self._between_nodes():
            self._stop()
            self._end_cancel()
            return
        if self.paused or not self.nodes or not (self.nodes[0].released and self.edges[0].released):
            self._stop()
            return
        self._drive(self.nodes[0], self.edges[0])

    def _stop(self) -> None:
        if self.driving:
            self.driving = False
            self.velocity_mm_s = (0.0, 0.0)
            self.version += 1

    def _drive(self, node: Node, edge: Edge) -> None:
        target_x, target_y = self._position(node)
        dx_mm, dy_mm = target_x - self.x_mm, target_y - self.y_mm
        distance_mm: float = (dx_mm * dx_mm + dy_mm * dy_mm) ** 0.5
        speed_mm_s = min(edge.speed_mm_s or self.layout.speed_max_mm_s, self.layout.speed_max_mm_s)
        step_mm = speed_mm_s * SCAN_S
        if distance_mm <= step_mm:
            self.x_mm, self.y_mm = target_x, target_y
            self.battery_percent = max(0.0, self.battery_percent - distance_mm * BATTERY_PER_MM)
            del self.edges[0]
            self._reach()
            return
        share = step_mm / distance_mm
        self.x_mm += dx_mm * share
        self.y_mm += dy_mm * share
        self.since_node_mm += step_mm
        self.velocity_mm_s = (dx_mm / distance_mm * speed_mm_s, dy_mm / distance_mm * speed_mm_s)
        self.battery_percent = max(0.0, self.battery_percent - step_mm * BATTERY_PER_MM)
        if not self.driving:
            self.driving = True
            self.version += 1

    def _reach(self) -> None:
        """The first of the remaining nodes has been reached."""
        node = self.nodes.pop(0)
        self._here = node
        self.last_node, self.last_seq = node.id, node.seq
        self.since_node_mm = 0.0
        self._todo = list(node.actions)
        self._worked_ns = 0
        self.version += 1

    def _work(self, action: Action) -> None:
        """One step of the action in hand: 4 s of handling, then the transfer; a drop may wait for room."""
        state = next(state for state in self.actions if state.id == action.id)
        if state.status == "WAITING":
            state.status = "RUNNING"
            self._worked_ns = 0
            self.version += 1
        self._worked_ns += SCAN_NS
        if self._worked_ns < HANDLING_NS:
            return
        if action.type == "pick":
            problem: str | None = self.deck.pick(action, self.last_node)
        else:
            problem = self.deck.drop(action, self.last_node, self._worked_ns - HANDLING_NS)
        if problem is None:
            return
        state.status, state.result = ("FAILED", problem) if problem else ("FINISHED", "")
        self.actions_done += not problem
        del self._todo[0]
        self._worked_ns = 0
        self.version += 1

    def _error(self, error: Error) -> None:
        if error not in self.errors:
            self.errors = [*self.errors, error][-ERRORS_MAX:]
        self.version += 1
