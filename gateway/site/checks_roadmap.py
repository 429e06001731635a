"""The roadmap: every vehicle gets from every station to every other one without driving through a parking place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.site.checks_finding import Finding, Path
from gateway.site.model import AgvSpec, Site

Graph = Mapping[str, list[str]]

NAMED_MAX = 20
"""For so many stations the home in the way is looked up; each costs a walk over the whole map."""


def check_homes(site: Site) -> Iterator[Finding]:
    """A home belongs to one vehicle, and nothing else happens there."""
    stations = {location.node: i for i, location in enumerate(site.locations) if location.node is not None}
    first: dict[str, tuple[Path, str]] = {}
    for number, device in enumerate(site.devices):
        if not isinstance(device, AgvSpec):
            continue
        path: Path = ("devices", number, "home")
        known = first.setdefault(device.home, (path, device.id))
        if known[0] is not path:
            message = f"agv {device.id} has the home {device.home} of {known[1]}"
            yield Finding(path, message, "each vehicle has a home node of its own", known[0])
        if device.home in stations:
            at = stations[device.home]
            message = f"agv {device.id} parks at {device.home}, where vehicles serve location {site.locations[at].id}"
            yield Finding(path, message, "choose a node without a location", ("locations", at, "node"))


def check_roadmap(site: Site) -> Iterator[Finding]:
    """For a site without unknown names: stations and homes reach each other, homes apart."""
    homes = {device.home: i for i, device in enumerate(site.devices) if isinstance(device, AgvSpec)}
    stations = {x.node: i for i, x in enumerate(site.locations) if x.node is not None and x.node not in homes}
    if not homes or not stations:
        return
    ahead, back = _graphs(site)
    parts = _parts(ahead, back, closed=set(homes))
    sizes: dict[int, int] = {}
    for node in stations:
        sizes[parts[node]] = sizes.get(parts[node], 0) + 1
    # The part with the most stations is the floor; what is not in it is cut off.
    core = max(sizes, key=lambda part: sizes[part])
    inside = [node for node, part in parts.items() if part == core]
    from_core = _reach(ahead, inside, closed=set(homes))
    to_core = _reach(back, inside, closed=set(homes))
    yield from _cut_off_stations(site, stations, homes, parts, core, from_core, to_core, (ahead, back))
    for home, number in homes.items():
        device = site.devices[number]
        path: Path = ("devices", number, "home")
        if not any(node in to_core for node in ahead[home]):
            message = f"agv {device.id} cannot leave its home {home} for the stations"
            yield Finding(path, message, "add an edge from it, not over another home")
        if not any(node in from_core for node in back[home]):
            message = f"agv {device.id} cannot come back to its home {home} from the stations"
            yield Finding(path, message, "add an edge to it, not over another home")


def _cut_off_stations(
    site: Site,
    stations: Mapping[str, int],
    homes: Mapping[str, int],
    parts: Mapping[str, int],
    core: int,
    from_core: set[str],
    to_core: set[str],
    graphs: tuple[Graph, Graph],
) -> Iterator[Finding]:
    cut_off = [node for node in stations if parts[node] != core]
    if not cut_off:
        return
    with_homes = _parts(*graphs, closed=set())
    floor = next(node for node in stations if parts[node] == core)
    for count, node in enumerate(cut_off):
        number = stations[node]
        who = f"location {site.locations[number].id} at node {node}"
        path: Path = ("locations", number, "node")
        if with_homes[node] == with_homes[floor]:
            through = None
            if count < NAMED_MAX:
                through = _home_between(graphs[0], floor, node, homes) or _home_between(graphs[0], node, floor, homes)
            place = f" {through}" if through else ""
            message = f"{who} can be reached or left only through the home node{place} of a vehicle"
            yield Finding(path, message, "a parked vehicle would block the way: lead an edge around it")
        elif node in from_core:
            message = f"{who} is a dead end: no way leads from it to the other stations"
            yield Finding(path, message, "add an edge away from it, or both_ways: true to the one that is there")
        elif node in to_core:
            message = f"{who} cannot be reached from the other stations"
            yield Finding(path, message, "add an edge to it, or both_ways: true to the one that is there")
        else:
            message = f"{who} is cut off: no way leads there and none away"
            yield Finding(path, message, "connect the node with edges")


def _graphs(site: Site) -> tuple[Graph, Graph]:
    ahead: dict[str, list[str]] = {node.id: [] for node in site.map.nodes}
    back: dict[str, list[str]] = {node.id: [] for node in site.map.nodes}
    for edge in site.map.edges:
        ways = [(edge.from_node, edge.to_node)]
        if edge.both_ways:
            ways.append((edge.to_node, edge.from_node))
        for start, end in ways:
            ahead[start].append(end)
            back[end].append(start)
    return ahead, back


def _reach(graph: Graph, starts: list[str], closed: set[str]) -> set[str]:
    """All nodes that can be reached from `starts` without those that are `closed`."""
    seen = {node for node in starts if node not in closed}
    todo = list(seen)
    while todo:
        for node in graph[todo.pop()]:
            if node not in seen and node not in closed:
                seen.add(node)
                todo.append(node)
    return seen


def _parts(ahead: Graph, back: Graph, closed: set[str]) -> dict[str, int]:
    """Node → number of its strongly connected part (Kosaraju's two passes, without recursion)."""
    order: list[str] = []
    seen = set(closed)
    for root in ahead:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(ahead[root]))]
        while stack:
            node, following = stack[-1]
            step = next((other for other in following if other not in seen), None)
            if step is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(ahead[step])))
    parts: dict[str, int] = {}
    for number, root in enumerate(reversed(order)):
        if root in parts:
            continue
        parts[root] = number
        todo = [root]
        while todo:
            for node in back[todo.pop()]:
                if node not in parts and node not in closed:
                    parts[node] = number
                    todo.append(node)
    return parts


def _home_between(graph: Graph, start: str, end: str, homes: Mapping[str, int]) -> str | None:
    """The first home on a shortest way from `start` to `end` that avoids homes as far as it can, if any is needed."""
    if end in _reach(graph, [start], closed=set(homes)):
        return None
    came: dict[str, str] = {start: start}
    ring = [start]
    while ring and end not in came:
        nearest: list[str] = []
        for node in ring:
            for other in graph[node]:
                if other not in came:
                    came[other] = node
                    nearest.append(other)
        ring = nearest
    node = end if end in came else start
    found = None
    while node != start:
        found = node if node in homes else found
        node = came[node]
    return found
