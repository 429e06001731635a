"""What a 3.0 vehicle that asks for an edge or a zone is answered: only what is released to it anyway. Pure.

Source: VDA 5050 3.0, request/response mechanism. The traffic reservation of a vehicle is its released base: the kernel
releases an edge only where no other vehicle may be, and never takes it back. So a request for an edge is granted while
the edge is in the base, queued while it is in the horizon, and rejected otherwise. We send no zone sets, so no zone is
ours to give.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from msgspec import UNSET

from drivers.vda5050 import messages as wire
from gateway.contract import Ns
from gateway.devices.agv import Drive

LEASE_S = 60
"""How long a grant holds. Longer than two states are apart, so that it never ends between them."""
EXTEND_NS = 35 * 1_000_000_000
"""A lease with less than this left is extended: the standard asks for a state every 30 s."""
REPEAT_NS = 1_000_000_000
"""An answer may have been lost (QoS 0): it is given again while the request stands, but not with every state."""
REQUESTS_MAX = 32
"""Requests of one state that are answered; the vehicle has to take the others as not granted."""
EDGES_MAX = 2_048
"""Edges of one order that are remembered as released, far above any factsheet's `order.edges`."""


class Leases:
    """One vehicle's requests. `released` with each order that is sent, `answers` with each state."""

    def __init__(self) -> None:
        self._order_id = ""
        self._begins = 0
        """Sequence number at which our knowledge of the order begins: 0, or where an update continued an older one."""
        self._base: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._horizon: frozenset[tuple[str, int]] = frozenset()
        self._answered: dict[str, tuple[str, Ns, Ns]] = {}
        """By request: the answer, when it was given, and when the lease ends (0 without one)."""

    def released(self, drive: Drive) -> None:
        """An order or an update goes out. The base of one order only ever grows."""
        if drive.drive_id != self._order_id:
            self._order_id = drive.drive_id
            # An update begins at the last node of the base, so all edges before it are released for good.
            self._begins = drive.nodes[0].sequence_id if drive.update_id and drive.nodes else 0
            self._base.clear()
        for edge in drive.edges:
            if edge.released:
                self._base[edge.edge, edge.sequence_id] = None
        while len(self._base) > EDGES_MAX:
            self._base.popitem(last=False)
        self._horizon = frozenset((edge.edge, edge.sequence_id) for edge in drive.edges if not edge.released)

    def answers(self, state: wire.State, now_ns: Ns) -> tuple[tuple[str, str], ...]:
        """(request id, grant type) of what is to be answered now; a GRANTED holds for `LEASE_S` from now.

        Says nothing to a request that has expired, or that was answered a moment ago.
        """
        edges, zones = state.edge_requests or (), state.zone_requests or ()
        if not edges and not zones:
            self._answered.clear()
            return ()
        found: list[tuple[str, str]] = []
        still: dict[str, tuple[str, Ns, Ns]] = {}
        for request_id, status, wanted in self._judge(state):
            known = self._answered.get(request_id)
            if wanted is None or _is_fresh(known, wanted, status, now_ns):
                if known is not None:
                    still[request_id] = known
                continue
            found.append((request_id, wanted))
            ends_ns = now_ns + LEASE_S * 1_000_000_000 if wanted == "GRANTED" else 0
            still[request_id] = (wanted, now_ns, ends_ns)
        self._answered = still
        return tuple(found)

    def _judge(self, state: wire.State) -> Iterator[tuple[str, str, str | None]]:
        """Request id, its status and what it should be told; None for nothing."""
        left = REQUESTS_MAX
        for edge in (state.edge_requests or ())[:left]:
            left -= 1
            yield edge.request_id, edge.request_status, self._edge(edge, state)
        for zone in (state.zone_requests or ())[:left]:
            yield zone.request_id, zone.request_status, _unless_held(zone.request_status)

    def _edge(self, request: wire.EdgeRequest, state: wire.State) -> str | None:
        key = (request.edge_id, request.sequence_id)
        shown = next((e for e in state.edge_states if (e.edge_id, e.sequence_id) == key), None)
        if request.request_status in ("EXPIRED", "REVOKED", "REJECTED"):
            return None
        if shown is None and request.request_status == "GRANTED" and key[1] < state.last_node_sequence_id:
            return None  # just left behind: the lease runs out by itself, rather than stop a vehicle half out of it
        if shown is None:
            return _unless_held(request.request_status)
        if self._is_released(key, shown, state.order_id):
            return "GRANTED"
        if request.request_status == "GRANTED":
            return "REVOKED"
        is_ahead = state.order_id == self._order_id and key in self._horizon
        return "QUEUED" if is_ahead or self._is_unknown(state.order_id) else "REJECTED"

    def _is_released(self, key: tuple[str, int], shown: wire.EdgeState, order_id: str) -> bool:
        if self._is_unknown(order_id):
            # Released before this process began: the kernel counts what the vehicle shows as released as occupied.
            return shown.released
        return order_id == self._order_id and (key in self._base or (shown.released and key[1] < self._begins))

    def _is_unknown(self, order_id: str) -> bool:
        return bool(order_id) and not self._order_id


def _unless_held(status: str) -> str | None:
    """What is not ours to give: refused, or taken back from a vehicle that believes to hold it."""
    if status in ("EXPIRED", "REVOKED", "REJECTED"):
        return None
    return "REVOKED" if status == "GRANTED" else "REJECTED"


def _is_fresh(known: tuple[str, Ns, Ns] | None, wanted: str, status: str, now_ns: Ns) -> bool:
    """The same answer was given so lately that it need not be given again."""
    if known is None or known[0] != wanted:
        return False
    if wanted == "GRANTED" and status == "GRANTED":
        return known[2] - now_ns > EXTEND_NS
    return now_ns - known[1] < REPEAT_NS


def messages(answers: tuple[tuple[str, str], ...], lease_expiry: str) -> tuple[wire.Response, ...]:
    """The answers as they go out; `lease_expiry` in ISO 8601, for what is granted."""
    return tuple(
        wire.Response(request_id=request_id, grant_type=grant, lease_expiry=lease_expiry)  # type: ignore[arg-type]
        if grant == "GRANTED"
        else wire.Response(request_id=request_id, grant_type=grant, lease_expiry=UNSET)  # type: ignore[arg-type]
        for request_id, grant in answers
    )
