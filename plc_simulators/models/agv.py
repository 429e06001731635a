"""A vehicle that speaks VDA 5050 2.1: what it does with orders, and how it drives, picks and drops.

It drives straight from node to node at the edge's speed, without acceleration. Every node action is done standing
and alone (as HARD asks; for NONE and SOFT that is the careful choice), in the order given. Positions are
millimetres; the wire's metres are the server's affair.
"""

from __future__ import annotations

from collections import OrderedDict

from plc_simulators.layout import VehicleLayout
from plc_simulators.models import acceptance
from plc_simulators.models.controller import SCAN_NS, SCAN_S
from plc_simulators.models.deck import HANDLING_NS, Deck, World
from plc_simulators.models.pace import QUIET_SCANS_MAX, Pace
from plc_simulators.models.vda_order import Action, Edge, Node, Order
from plc_simulators.models.vda_state import ActionState, Error

BATTERY_PER_MM = 1e-6
"""Percent: 1 % per kilometre."""
ROUNDING_MM = 1e-6
"""So near counts as there: a way done in one go and one done scan by scan end in the same scan."""
CHARGE_PER_S = 1 / 60
ERRORS_MAX = 16
INSTANT_STATES_MAX = 32
DONE_IDS_MAX = 10_000
WARNING, FATAL = "WARNING", "FATAL"
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
        self.stopped = False
        """An emergency stop is pressed at the vehicle."""
        self.localised = True
        self.plug_contact = True
        """Charging can begin; a worn plug fails it."""
        self.battery_percent = 95.0
        self.velocity_mm_s = (0.0, 0.0)
        self.since_node_mm = 0.0
        self.orders_accepted = 0
        self.orders_refused = 0
        self.actions_done = 0
        self.repeated = 0
        """Picks and drops done beyond the first one under the same action id: 0 unless an order runs twice."""
        self._done_ids: OrderedDict[str, None] = OrderedDict()
        self.here = Node("", 0, True)
        """The node that was reached last, as the order had it: what an update must begin with."""
        self._todo: list[Action] = []
        """Actions of the node where the vehicle stands that have not ended."""
        self._worked_ns = 0
        self.cancel: ActionState | None = None
        """The cancelOrder that is being carried out."""
        self.cancelled = False
        """The order was cancelled: it can't be continued."""
        self.pace = Pace(self)

    # --- what comes over the wire ---

    def order(self, order: Order) -> None:
        """Accept or refuse an order or an update, by the standard's rules; a duplicate changes nothing."""
        self.pace.rouse()
        if order.id == self.order_id:
            if order.update_id == self.update_id:
                return
            refusal = acceptance.refuse_update(self, order)
        else:
            refusal = acceptance.refuse_new(self, order)
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
        self.pace.rouse()
        if any(state.id == action.id for state in self.actions):
            return
        state = ActionState(action.id, action.type, instant=True)
        self._remember_instant(state)
        if action.type == "cancelOrder":
            self._begin_cancel(state)
        elif action.type == "startCharging" and not self.plug_contact:
            state.status, state.result = "FAILED", "no contact at the plug"
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
            and self.cancel is None
            and all(state.status in ENDED for state in self.actions if not state.instant)
        )

    @property
    def new_base_request(self) -> bool:
        """The base is about to run out before the horizon."""
        released = sum(node.released for node in self.nodes)
        return released < len(self.nodes) and released <= 1

    def _begin(self, order: Order) -> None:
        self.order_id, self.update_id = order.id, order.update_id
        self.nodes, self.edges = list(order.nodes), list(order.edges)
        self.actions = [ActionState(action.id, action.type) for node in order.nodes for action in node.actions]
        self.charging = False
        self.cancelled = False
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
        if self.cancel is not None:
            state.status, state.result = "FAILED", "another cancelOrder is under way"
            return
        state.status = "RUNNING"
        self.cancel = state
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
        assert self.cancel is not None, "no cancelOrder is under way"
        self.cancel.status = "FINISHED"
        self.cancel = None
        self.cancelled = True
        self.version += 1

    # --- motion and work ---

    def fail(self, on: bool) -> None:
        """A drive fault: the vehicle stops where it is, and goes on when the fault is gone."""
        self.pace.rouse()
        self.failed = on
        self.errors = [error for error in self.errors if error.level != FATAL]
        if on:
            self._stop()
            text = "drive fault: check the motor, then acknowledge at the vehicle"
            self._error(Error("driveFault", FATAL, text, (("orderId", self.order_id),)))
        self.version += 1

    def emergency_stop(self, on: bool) -> None:
        """Pressed at the vehicle, or released again."""
        self.pace.rouse()
        self.stopped = on
        self._stop()
        self.version += 1

    def lose_position(self, on: bool) -> None:
        """The vehicle does not know where it is, and stands until it does again."""
        self.pace.rouse()
        self.localised = not on
        self._stop()
        self.version += 1

    def drain(self, percent: float) -> None:
        """The battery is as good as empty: `percent` is left at the most."""
        self.pace.rouse()
        self.battery_percent = min(self.battery_percent, percent)
        self.version += 1

    def quiet_scans(self) -> int:
        """See `Steady.quiet_scans`: while it drives along an edge, handles a load, or stands."""
        if self.failed or self.stopped or not self.localised:
            return QUIET_SCANS_MAX
        if self.driving:
            may_drive = not self._todo and self._may_drive()
            return max(0, int(self._left_mm() / self._step_mm() - 1e-6)) if may_drive else 0
        if self._todo:
            if self.paused:
                return QUIET_SCANS_MAX
            return max(0, (HANDLING_NS - self._worked_ns) // SCAN_NS - 1) if self._worked_ns else 0
        return 0 if self.cancel is not None or self._may_drive() else QUIET_SCANS_MAX

    def skip(self, scans: int) -> None:
        """See `Steady.skip`."""
        if self.charging:
            self.battery_percent = min(100.0, self.battery_percent + CHARGE_PER_S * SCAN_S * scans)
        if self.failed or self.stopped or not self.localised:
            return
        if self._todo:
            self._worked_ns += 0 if self.paused else scans * SCAN_NS
        elif self.driving and self._may_drive():
            left_mm = self._left_mm()
            way_mm = self._step_mm() * scans
            target_x, target_y = acceptance.position(self, self.nodes[0])
            self.x_mm += (target_x - self.x_mm) * way_mm / left_mm
            self.y_mm += (target_y - self.y_mm) * way_mm / left_mm
            self.since_node_mm += way_mm
            self.battery_percent = max(0.0, self.battery_percent - way_mm * BATTERY_PER_MM)

    def _may_drive(self) -> bool:
        return not self.paused and bool(self.nodes) and self.nodes[0].released and self.edges[0].released

    def _step_mm(self) -> float:
        """What it drives in one scan."""
        speed_mm_s = min(self.edges[0].speed_mm_s or self.layout.speed_max_mm_s, self.layout.speed_max_mm_s)
        return speed_mm_s * SCAN_S

    def _left_mm(self) -> float:
        """How far it is to the next node."""
        target_x, target_y = acceptance.position(self, self.nodes[0])
        return float(((target_x - self.x_mm) ** 2 + (target_y - self.y_mm) ** 2) ** 0.5)

    def step(self) -> None:
        """One step of the vehicle's own controller."""
        self.pace.catch_up()
        self._step()
        self.pace.step_done()

    def _step(self) -> None:
        if self.charging:
            self.battery_percent = min(100.0, self.battery_percent + CHARGE_PER_S * SCAN_S)
        if self.failed or self.stopped or not self.localised:
            return
        if self._todo:
            self._stop()
            if not self.paused:
                self._work(self._todo[0])
            return
        if self.cancel is not None and not self._between_nodes():
            self._stop()
            self._end_cancel()
            return
        if not self._may_drive():
            self._stop()
            return
        self._drive(self.nodes[0])

    def _stop(self) -> None:
        if self.driving:
            self.driving = False
            self.velocity_mm_s = (0.0, 0.0)
            self.version += 1

    def _drive(self, node: Node) -> None:
        target_x, target_y = acceptance.position(self, node)
        dx_mm, dy_mm = target_x - self.x_mm, target_y - self.y_mm
        left_mm, step_mm = self._left_mm(), self._step_mm()
        if left_mm <= step_mm + ROUNDING_MM:
            self.x_mm, self.y_mm = target_x, target_y
            self.battery_percent = max(0.0, self.battery_percent - left_mm * BATTERY_PER_MM)
            del self.edges[0]
            self._reach()
            return
        self.x_mm += dx_mm * step_mm / left_mm
        self.y_mm += dy_mm * step_mm / left_mm
        self.since_node_mm += step_mm
        self.velocity_mm_s = (dx_mm / left_mm * step_mm / SCAN_S, dy_mm / left_mm * step_mm / SCAN_S)
        self.battery_percent = max(0.0, self.battery_percent - step_mm * BATTERY_PER_MM)
        if not self.driving:
            self.driving = True
            self.version += 1

    def _reach(self) -> None:
        """The first of the remaining nodes has been reached."""
        node = self.nodes.pop(0)
        self.here = node
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
        if not problem:
            self._count(action.id)
        del self._todo[0]
        self._worked_ns = 0
        self.version += 1

    def _count(self, action_id: str) -> None:
        self.actions_done += 1
        self.repeated += action_id in self._done_ids
        self._done_ids[action_id] = None
        while len(self._done_ids) > DONE_IDS_MAX:
            self._done_ids.popitem(last=False)

    def _error(self, error: Error) -> None:
        if error not in self.errors:
            self.errors = [*self.errors, error][-ERRORS_MAX:]
        self.version += 1
