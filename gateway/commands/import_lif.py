"""`stellwerk import lif`: a vehicle maker's layout (LIF, VDMA 2024-03) as the `map` and `locations` of a site."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

app = typer.Typer(no_args_is_help=True, help="Take over what other tools have drawn.")
FILE_BYTES_MAX = 64 * 1024 * 1024
PROBLEMS_MAX = 20
_POSITION_M_MAX = 1_000_000.0
_SPEED_M_S_MAX = 100.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,47}")


class Lif(msgspec.Struct, frozen=True, rename="camel"):
    """A part of a LIF file; what we do not use is skipped."""


class MetaInformation(Lif, frozen=True):
    lif_version: str


class ForType(Lif, frozen=True):
    """Properties of a node or an edge for one vehicle type; speeds in m/s."""

    vehicle_type_id: str
    max_speed: float | None = None


class NodePosition(Lif, frozen=True):
    x: float
    y: float


class LifNode(Lif, frozen=True):
    node_id: str
    node_position: NodePosition
    vehicle_type_node_properties: tuple[ForType, ...] = ()


class LifEdge(Lif, frozen=True):
    edge_id: str
    start_node_id: str
    end_node_id: str
    vehicle_type_edge_properties: tuple[ForType, ...] = ()


class LifStation(Lif, frozen=True):
    station_id: str
    interaction_node_ids: tuple[str, ...] = ()


class LifLayout(Lif, frozen=True):
    layout_id: str
    nodes: tuple[LifNode, ...]
    edges: tuple[LifEdge, ...]
    stations: tuple[LifStation, ...] = ()


class LifFile(Lif, frozen=True):
    meta_information: MetaInformation
    layouts: tuple[LifLayout, ...]


class LifError(ValueError):
    """`problems`: one line each, fit for the person who has the file."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        more = len(problems) - PROBLEMS_MAX
        self.problems = [*problems[:PROBLEMS_MAX], *([f"and {more} more"] if more > 0 else [])]


@app.command()
def lif(
    file: Annotated[Path, typer.Argument(help="A LIF file (JSON).")],
    layout: Annotated[str | None, typer.Option(help="Which layout, where the file has several.")] = None,
    vehicle_type: Annotated[str | None, typer.Option(help="Only the ways and speeds of this vehicle type.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write here instead of to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that --out names.")] = False,
) -> None:
    """Print a LIF layout as YAML for a site. Exit code 2 when the file can't be taken over."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise LifError([f"has more than {FILE_BYTES_MAX} bytes: export one layout only"])
        text = convert(file.read_bytes(), layout, vehicle_type)
        if out is not None:
            with out.open("w" if force else "x", encoding="utf-8") as target:
                target.write(text)
    except LifError as error:
        for problem in error.problems:
            typer.echo(f"stellwerk import lif: {file}: {problem}", err=True)
        raise typer.Exit(2) from None
    except FileExistsError:
        typer.echo(f"stellwerk import lif: {out} is there already: give another name, or --force", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"stellwerk import lif: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    if out is None:
        typer.echo(text, nl=False)


def convert(content: bytes, layout_id: str | None = None, vehicle_type: str | None = None) -> str:
    """The YAML of a layout: metres become whole mm, m/s whole mm/s. Raises LifError."""
    import yaml

    try:
        whole = msgspec.json.decode(content, type=LifFile)
    except msgspec.ValidationError as error:
        raise LifError([f"not LIF: {error}"]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LifError([f"not JSON: {error}"]) from None
    version = whole.meta_information.lif_version
    if version.split(".")[0] != "1":
        raise LifError([f"lifVersion is {version!r}, 1.x (VDMA 2024-03) is read: export it anew"])
    layout = _chosen(whole.layouts, layout_id)
    problems = [*_problems(layout, vehicle_type)]
    if problems:
        raise LifError(problems)
    edges = [edge for edge in layout.edges if _is_for(edge.vehicle_type_edge_properties, vehicle_type)]
    used = {node for edge in edges for node in (edge.start_node_id, edge.end_node_id)}
    nodes = [n for n in layout.nodes if n.node_id in used or _is_for(n.vehicle_type_node_properties, vehicle_type)]
    kept = {node.node_id for node in nodes}
    floor = {
        "id": layout.layout_id if _ID.fullmatch(layout.layout_id) else "floor",
        "nodes": [
            {"id": n.node_id, "x_mm": round(n.node_position.x * 1000), "y_mm": round(n.node_position.y * 1000)}
            for n in nodes
        ],
        "edges": _ways(edges, vehicle_type),
    }
    locations = [
        {"id": name, "kind": "rack", "capacity": 1, "node": node}
        for station in layout.stations
        for name, node in _places(station)
        if node in kept
    ]
    note = "# LIF does not say what a station is: set `kind` and `capacity` of each location.\n"
    body = yaml.safe_dump({"map": floor, "locations": locations}, sort_keys=False, default_flow_style=None, width=120)
    return note + body


def _chosen(layouts: Sequence[LifLayout], layout_id: str | None) -> LifLayout:
    known = ", ".join(layout.layout_id for layout in layouts) or "none"
    if layout_id is None:
        if len(layouts) == 1:
            return layouts[0]
        raise LifError([f"{len(layouts)} layouts ({known}): name one with --layout"])
    found = [layout for layout in layouts if layout.layout_id == layout_id]
    if len(found) != 1:
        raise LifError([f"{len(found)} layouts are called {layout_id!r}; there are: {known}"])
    return found[0]


def _problems(layout: LifLayout, vehicle_type: str | None) -> list[str]:
    nodes = [node.node_id for node in layout.nodes]
    edges = [edge.edge_id for edge in layout.edges]
    places = [name for station in layout.stations for name, _ in _places(station)]
    found = [
        f"{what} {name!r} occurs {count} times: ids must be unique in a layout"
        for what, names in (("nodeId", nodes), ("edgeId", edges), ("stationId", places))
        for name, count in Counter(names).items()
        if count > 1
    ]
    for what, names in (("nodeId", nodes), ("stationId", places)):
        hint = "1 to 48 letters, digits, _ . - are possible"
        found += [f"{what} {name!r} can't be an id in a site: {hint}" for name in names if not _ID.fullmatch(name)]
    there = set(nodes)
    for edge in layout.edges:
        ends = (edge.start_node_id, edge.end_node_id)
        found += [f"edge {edge.edge_id}: node {end!r} is not in the layout" for end in ends if end not in there]
        speeds = [entry.max_speed for entry in edge.vehicle_type_edge_properties if entry.max_speed is not None]
        fits = f"above 0.001 up to {_SPEED_M_S_MAX:g} is possible"
        found += [f"edge {edge.edge_id}: maxSpeed {v} m/s: {fits}" for v in speeds if not 0.001 <= v <= _SPEED_M_S_MAX]
    for station in layout.stations:
        lost = [node for node in station.interaction_node_ids if node not in there]
        found += [f"station {station.station_id}: node {node!r} is not in the layout" for node in lost]
    for node in layout.nodes:
        values = (node.node_position.x, node.node_position.y)
        # The comparison also refuses what JSON's 1e999 becomes.
        far = [value for value in values if not -_POSITION_M_MAX <= value <= _POSITION_M_MAX]
        found += [f"node {node.node_id}: position {value} m, beyond ±{_POSITION_M_MAX:.0f}" for value in far]
    lists = [e.vehicle_type_edge_properties for e in layout.edges] + [
        n.vehicle_type_node_properties for n in layout.nodes
    ]
    types = sorted({entry.vehicle_type_id for entries in lists for entry in entries})
    if vehicle_type is not None and vehicle_type not in types:
        found.append(f"no vehicle type {vehicle_type!r} in the layout; there are: {', '.join(types) or 'none'}")
    ways = Counter(
        (e.start_node_id, e.end_node_id) for e in layout.edges if _is_for(e.vehicle_type_edge_properties, vehicle_type)
    )
    found += [f"{n} edges lead from {a} to {b}: a site knows one; --vehicle-type may part them"
              for (a, b), n in ways.items() if n > 1]  # fmt: skip
    return found


def _is_for(entries: Sequence[ForType], vehicle_type: str | None) -> bool:
    return vehicle_type is None or not entries or any(entry.vehicle_type_id == vehicle_type for entry in entries)


def _places(station: LifStation) -> list[tuple[str, str]]:
    """Location and node: a station with several interaction nodes becomes as many locations."""
    nodes = station.interaction_node_ids
    if len(nodes) == 1:
        return [(station.station_id, nodes[0])]
    return [(f"{station.station_id}-{number}", node) for number, node in enumerate(nodes, 1)]


def _ways(edges: Sequence[LifEdge], vehicle_type: str | None) -> list[dict[str, Any]]:
    """The edges; two opposite ones of one speed become one that is driven both ways."""
    speeds = {(e.start_node_id, e.end_node_id): _speed_mm_s(e, vehicle_type) for e in edges}
    ways: list[dict[str, Any]] = []
    done: set[tuple[str, str]] = set()
    for (start, end), speed_mm_s in speeds.items():
        if (start, end) in done:
            continue
        way: dict[str, Any] = {"from": start, "to": end}
        if start != end and (end, start) in speeds and speeds[end, start] == speed_mm_s:
            way["both_ways"] = True
            done.add((end, start))
        if speed_mm_s is not None:
            way["speed_max_mm_s"] = speed_mm_s
        ways.append(way)
    return ways


def _speed_mm_s(edge: LifEdge, vehicle_type: str | None) -> int | None:
    """The slowest of the types that count: a site has one speed for all of them."""
    speeds = [
        entry.max_speed
        for entry in edge.vehicle_type_edge_properties
        if entry.max_speed is not None and vehicle_type in (None, entry.vehicle_type_id)
    ]
    return max(1, int(min(speeds) * 1000 + 1e-6)) if speeds else None
