"""Roadmaps written down in a line or two."""

from __future__ import annotations

from gateway.dispatch.traffic.roadmap import Roadmap
from gateway.site import EdgeSpec, MapSpec, NodeSpec


def roadmap(nodes: dict[str, tuple[int, int]], edges: list[str], clearance_mm: int = 1000) -> Roadmap:
    """Edges are written "a-b" (one way) or "a=b" (both ways)."""
    specs = [NodeSpec(id=name, x_mm=x, y_mm=y) for name, (x, y) in nodes.items()]
    ways = []
    for text in edges:
        a, b = text.replace("=", "-").split("-")
        ways.append(EdgeSpec(from_node=a, to_node=b, both_ways="=" in text))
    return Roadmap(MapSpec(clearance_mm=clearance_mm, nodes=tuple(specs), edges=tuple(ways)))
