"""The AGV roadmap with its exclusions: which nodes and edges can't be occupied at the same time.

A vehicle on a node claims the node, and on an edge nothing but the way. For every two places that can't be occupied
together (nodes nearer than the clearance, an edge that passes a node too near, edges that cross) there is one token
more, which both claim; so places exclude each other in pairs, and not whatever lies near to either. Computed once.
"""

from __future__ import annotations

from itertools import pairwise

import rustworkx as rx

from gateway.contract import NodeId, Struct
from gateway.site import EdgeSpec, MapSpec, NodeSpec

Point = tuple[int, int]


class Step(Struct, frozen=True):
    """One edge driven: what it needs besides, by name in order and as bits, and how long it lasts."""

    claims: tuple[str, ...]
    bits: int
    seconds: float


class Roadmap:
    """Shortest ways by driving time, and the claims of nodes and edges."""

    def __init__(self, spec: MapSpec) -> None:
        self.map_id = spec.id
        self.nodes: dict[NodeId, NodeSpec] = {n.id: n for n in spec.nodes}
        self.speed_mm_s: dict[tuple[NodeId, NodeId], int] = {}
        for edge in spec.edges:
            self.speed_mm_s[edge.from_node, edge.to_node] = edge.speed_max_mm_s
            if edge.both_ways:
                self.speed_mm_s[edge.to_node, edge.from_node] = edge.speed_max_mm_s
        self.after: dict[NodeId, list[NodeId]] = {n: [b for a, b in self.speed_mm_s if a == n] for n in self.nodes}
        """Node → where one can drive from there."""
        self._index = {node: i for i, node in enumerate(self.nodes)}
        self._names = list(self.nodes)
        self._graph: rx.PyDiGraph[NodeId, float] = rx.PyDiGraph()
        self._graph.add_nodes_from(self._names)
        for (a, b), speed in self.speed_mm_s.items():
            self._graph.add_edge(self._index[a], self._index[b], self.length_mm(a, b) / speed)
        nodes = self._claims_of_nodes(spec.clearance_mm)
        self.edge_claims = self._claims_of_edges(spec.edges, spec.clearance_mm, nodes)
        self.node_claims: dict[NodeId, frozenset[str]] = {n: frozenset(c) for n, c in nodes.items()}
        self._ways: dict[tuple[NodeId, NodeId], tuple[NodeId, ...] | None] = {}
        # Driving ahead in thought asks for little else than whether claims meet, which is one "and" of two integers.
        resources = dict.fromkeys(
            r for claims in (*self.node_claims.values(), *self.edge_claims.values()) for r in claims
        )
        self._bit = {resource: 1 << i for i, resource in enumerate(resources)}
        self.node_bits: dict[NodeId, int] = {n: self._bits(claims) for n, claims in self.node_claims.items()}
        self._steps: dict[tuple[NodeId, NodeId], Step] = {}

    def step(self, a: NodeId, b: NodeId) -> Step:
        """The drive from `a` to `b` over their edge; KeyError where the map has none."""
        known = self._steps.get((a, b))
        if known is None:
            claims = self.step_claims(a, b)
            seconds = self.length_mm(a, b) / self.speed_mm_s[a, b]
            known = self._steps[a, b] = Step(tuple(sorted(claims)), self._bits(claims), seconds)
        return known

    def _bits(self, claims: frozenset[str]) -> int:
        return sum(self._bit[r] for r in claims)

    def length_mm(self, a: NodeId, b: NodeId) -> float:
        p, q = self.nodes[a], self.nodes[b]
        return float(((p.x_mm - q.x_mm) ** 2 + (p.y_mm - q.y_mm) ** 2) ** 0.5)

    def way(self, a: NodeId, b: NodeId, avoid: frozenset[NodeId] = frozenset()) -> tuple[NodeId, ...] | None:
        """The quickest way from `a` to `b`, both included, not over `avoid`; None where there is none."""
        if a == b:
            return (a,)
        if avoid:
            return self._search(a, b, avoid)
        if (a, b) not in self._ways:
            self._ways[a, b] = self._search(a, b, avoid)
        return self._ways[a, b]

    def _search(self, a: NodeId, b: NodeId, avoid: frozenset[NodeId]) -> tuple[NodeId, ...] | None:
        if a not in self._index or b not in self._index:
            return None
        graph = self._graph
        if avoid:
            graph = graph.copy()
            graph.remove_nodes_from([self._index[n] for n in avoid if n in self._index and n not in (a, b)])
        found = rx.dijkstra_shortest_paths(graph, self._index[a], self._index[b], weight_fn=float)
        if self._index[b] not in found:
            return None
        return tuple(self._names[i] for i in found[self._index[b]])

    def seconds(self, way: tuple[NodeId, ...] | list[NodeId]) -> float:
        """Driving time of a way at the edges' speeds, s."""
        return sum(self.length_mm(a, b) / self.speed_mm_s[a, b] for a, b in pairwise(way))

    def step_claims(self, a: NodeId, b: NodeId) -> frozenset[str]:
        """What a vehicle on `a` needs besides to drive on to `b`."""
        return self.node_claims[b] | self.edge_claims.get((a, b), frozenset())

    def claims(self, way: list[NodeId] | tuple[NodeId, ...]) -> set[str]:
        """All that a vehicle standing anywhere on `way` may occupy."""
        claimed: set[str] = set()
        for node in way:
            claimed |= self.node_claims[node]
        for pair in pairwise(way):
            claimed |= self.edge_claims.get(pair, frozenset())
        return claimed

    def _claims_of_nodes(self, clearance_mm: int) -> dict[NodeId, set[str]]:
        claims: dict[NodeId, set[str]] = {n: {n} for n in self.nodes}
        by_x = sorted(self.nodes.values(), key=lambda n: (n.x_mm, n.y_mm, n.id))
        for i, a in enumerate(by_x):
            for b in by_x[i + 1 :]:
                if b.x_mm - a.x_mm >= clearance_mm:
                    break
                if (b.x_mm - a.x_mm) ** 2 + (b.y_mm - a.y_mm) ** 2 < clearance_mm**2:
                    token = f"near {a.id}/{b.id}"
                    claims[a.id].add(token)
                    claims[b.id].add(token)
        return claims

    def _claims_of_edges(
        self, edges: tuple[EdgeSpec, ...], clearance_mm: int, node_claims: dict[NodeId, set[str]]
    ) -> dict[tuple[NodeId, NodeId], frozenset[str]]:
        claims: dict[tuple[NodeId, NodeId], set[str]] = {}
        nodes = sorted(self.nodes.values(), key=lambda n: n.x_mm)
        boxes = sorted((self._box(e), i) for i, e in enumerate(edges))
        for place, ((x_from, x_to, y_from, y_to), i) in enumerate(boxes):
            edge = edges[i]
            ends = (edge.from_node, edge.to_node)
            claimed = claims.setdefault(ends, set())
            for node in nodes:
                if node.x_mm > x_to + clearance_mm:
                    break
                if node.x_mm >= x_from - clearance_mm and node.id not in ends:
                    gap = _distance((node.x_mm, node.y_mm), self._point(ends[0]), self._point(ends[1]))
                    if gap < clearance_mm:
                        token = f"passing {node.id}/{i}"
                        claimed.add(token)
                        node_claims[node.id].add(token)
            for other_box, j in boxes[place + 1 :]:
                if other_box[0] > x_to:
                    break
                if other_box[2] > y_to or other_box[3] < y_from:
                    continue  # on one line, perhaps, but apart
                other = edges[j]
                pair = (other.from_node, other.to_node)
                if set(pair) & set(ends) or not self._cross(ends, pair):
                    continue
                token = f"crossing {min(i, j)}/{max(i, j)}"
                claimed.add(token)
                claims.setdefault(pair, set()).add(token)
        for edge in edges:
            if edge.both_ways:
                claims[edge.to_node, edge.from_node] = claims[edge.from_node, edge.to_node]
        return {pair: frozenset(c) for pair, c in claims.items()}

    def nodes_excluded_by(self, claims: set[str]) -> set[NodeId]:
        """The nodes that nobody else can stand on while `claims` are held."""
        return {node for node, own in self.node_claims.items() if not own.isdisjoint(claims)}

    def _point(self, node: NodeId) -> Point:
        return (self.nodes[node].x_mm, self.nodes[node].y_mm)

    def _box(self, edge: EdgeSpec) -> tuple[int, int, int, int]:
        (ax, ay), (bx, by) = self._point(edge.from_node), self._point(edge.to_node)
        return (min(ax, bx), max(ax, bx), min(ay, by), max(ay, by))

    def _cross(self, one: tuple[NodeId, NodeId], two: tuple[NodeId, NodeId]) -> bool:
        a, b, c, d = (self._point(n) for n in (*one, *two))
        return _side(a, b, c) * _side(a, b, d) <= 0 and _side(c, d, a) * _side(c, d, b) <= 0


def _side(a: Point, b: Point, p: Point) -> int:
    """Which side of the line a→b the point lies on: −1, 0, 1."""
    cross = (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
    return (cross > 0) - (cross < 0)


def _distance(p: Point, a: Point, b: Point) -> float:
    """From point `p` to the segment a–b, mm."""
    length2 = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    along = 0.0
    if length2:
        along = ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length2
        along = min(max(along, 0.0), 1.0)
    x, y = a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1])
    return float(((p[0] - x) ** 2 + (p[1] - y) ** 2) ** 0.5)
