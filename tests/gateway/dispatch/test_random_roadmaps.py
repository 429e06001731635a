"""Vehicles on random small maps, with private parking places, are moved at random under the real releases:
everybody gets home, and at no moment do two come too near to each other."""

from __future__ import annotations

import itertools
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_plant import MS, SECOND
from watchers import distance_mm, legs

from gateway.contract import (
    AnnounceLoad,
    Command,
    CreateOrder,
    HostRequest,
    Input,
    LinkChanged,
    Report,
    Started,
    StepRequest,
    Tick,
)
from gateway.devices.agv import ActionState, AgvReport, Drive, PathState
from gateway.kernel import Kernel
from gateway.site import AgvSpec, EdgeSpec, LocationSpec, MapSpec, NodeSpec, Site, SiteInfo, VdaConnection

PITCH_MM = 3000


def random_site(rng: random.Random, columns: int, rows: int, vehicles: int) -> Site:
    """A grid with random directions, always connected to and fro, with racks and parking places on spurs."""
    cells = [(c, r) for r in range(rows) for c in range(columns)]
    nodes = [NodeSpec(id=f"N{c}{r}", x_mm=c * PITCH_MM, y_mm=r * PITCH_MM) for c, r in cells]
    # A snake through all cells, both ways or closed to a ring, keeps every node reachable; the rest is chance.
    snake = [(c if r % 2 == 0 else columns - 1 - c, r) for r in range(rows) for c in range(columns)]
    edges = [EdgeSpec(from_node=f"N{a}{b}", to_node=f"N{c}{d}", both_ways=True)
             for (a, b), (c, d) in itertools.pairwise(snake)]  # fmt: skip
    there = {frozenset((e.from_node, e.to_node)) for e in edges}
    for c, r in cells:
        for near in ((c + 1, r), (c, r + 1)):
            pair = (f"N{c}{r}", f"N{near[0]}{near[1]}")
            if near in cells and frozenset(pair) not in there and rng.random() < 0.5:
                ends = pair if rng.random() < 0.5 else pair[::-1]
                edges.append(EdgeSpec(from_node=ends[0], to_node=ends[1], both_ways=rng.random() < 0.4))
    sides = [(c, r) for c, r in cells if r in (0, rows - 1)]
    rng.shuffle(sides)
    spurs = [(c, r) for c, r in sides][: vehicles + 2]
    homes, racks = spurs[:vehicles], spurs[vehicles:]
    locations = []
    for kind, places in (("H", homes), ("R", racks)):
        for c, r in places:
            y_mm = -PITCH_MM if r == 0 else rows * PITCH_MM
            nodes.append(NodeSpec(id=f"{kind}{c}{r}", x_mm=c * PITCH_MM, y_mm=y_mm))
            edges.append(EdgeSpec(from_node=f"N{c}{r}", to_node=f"{kind}{c}{r}", both_ways=True))
            if kind == "R":
                locations.append(LocationSpec(id=f"RACK{c}{r}", kind="rack", capacity=99, node=f"R{c}{r}"))
    wire = VdaConnection(manufacturer="m", serial="s")
    devices = tuple(
        AgvSpec(type="agv", id=f"V{i}", driver="loopback", profile="p", connection=wire, home=f"H{c}{r}")
        for i, (c, r) in enumerate(homes)
    )
    floor = MapSpec(clearance_mm=1200, nodes=tuple(nodes), edges=tuple(edges))
    return Site(site=SiteInfo(id="x", name="x"), map=floor, locations=tuple(locations), devices=devices)


class Fleet:
    """Vehicles that drive their bases node by node, whenever chance lets them."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.kernel, self.rng, self.seq, self.now_ns = Kernel(site), rng, 0, SECOND
        self.points = {n.id: (n.x_mm, n.y_mm) for n in site.map.nodes}
        self.at = {d.id: d.home for d in site.devices}  # type: ignore[union-attr]
        self.drives: dict[str, Drive] = {}
        self.base: dict[str, list[tuple[int, str]]] = {d.id: [] for d in site.devices}
        self.horizon: dict[str, list[tuple[int, str]]] = {d.id: [] for d in site.devices}
        self.done: dict[str, dict[str, str]] = {d.id: {} for d in site.devices}
        self.passed: dict[str, int] = dict.fromkeys(self.at, 0)
        self.enter(Started(1, "t"))
        for vehicle in self.at:
            self.enter(LinkChanged(vehicle, "up", "connected"))
            self.report(vehicle)

    def enter(self, body: object) -> None:
        self.seq += 1
        self.now_ns += self.rng.randint(1, 400) * MS
        for effect in self.kernel.apply(Input(self.seq, self.now_ns, body)):
            if isinstance(effect, Command) and isinstance(effect.action, Drive):
                self.take(effect.device, effect.action)

    def take(self, vehicle: str, drive: Drive) -> None:
        known = self.drives.get(vehicle)
        if known is not None and (known.drive_id, known.update_id) == (drive.drive_id, drive.update_id):
            return
        if known is None or known.drive_id != drive.drive_id:
            assert not self.base[vehicle], f"{vehicle} has a new drive before the end of the old one"
            self.base[vehicle], self.done[vehicle], self.passed[vehicle] = [], {}, 0
        self.base[vehicle] += [(n.sequence_id, n.node) for n in drive.nodes[1:] if n.released]
        self.horizon[vehicle] = [(n.sequence_id, n.node) for n in drive.nodes[1:] if not n.released]
        self.drives[vehicle] = drive
        self.done[vehicle] |= {a.action_id: "WAITING" for n in drive.nodes for a in n.actions
                               if self.done[vehicle].get(a.action_id) is None}  # fmt: skip
        for other in self.at:
            if other != vehicle:
                self.apart(vehicle, other)

    def apart(self, one: str, two: str) -> None:
        ways = [[self.at[v], *(node for _, node in self.base[v])] for v in (one, two)]
        gap_mm = min(
            distance_mm(self.points[a], self.points[b], self.points[c], self.points[d])
            for a, b in legs(ways[0])
            for c, d in legs(ways[1])
        )
        assert gap_mm >= 1200, f"{one} on {ways[0]} and {two} on {ways[1]} come within {gap_mm} mm"

    def step(self, vehicle: str) -> None:
        """The next action at this node, or else the next node."""
        waiting = self.actions_here(vehicle)
        if waiting:
            self.done[vehicle][waiting[0]] = "FINISHED"
        elif self.base[vehicle]:
            self.passed[vehicle], self.at[vehicle] = self.base[vehicle].pop(0)
        self.report(vehicle)

    def actions_here(self, vehicle: str) -> list[str]:
        drive = self.drives.get(vehicle)
        here = [n for n in drive.nodes if n.sequence_id == self.passed[vehicle]] if drive else []
        return [a.action_id for n in here for a in n.actions if self.done[vehicle].get(a.action_id) == "WAITING"]

    def report(self, vehicle: str) -> None:
        drive = self.drives.get(vehicle)
        path = [PathState(n, s, True) for s, n in self.base[vehicle]]
        path += [PathState(n, s, False) for s, n in self.horizon[vehicle]]
        self.enter(Report(vehicle, AgvReport(
            drive_id=drive.drive_id if drive else "", update_id=drive.update_id if drive else 0,
            last_node=self.at[vehicle], last_sequence_id=self.passed[vehicle], path=tuple(path), edges_left=len(path),
            actions=tuple(ActionState(a, s) for a, s in self.done[vehicle].items()), driving=False, paused=False,
            new_base_request=False, operating_mode="AUTOMATIC", battery_permille=900, charging=False, e_stop="NONE",
            field_violation=False, errors=(),
        )))  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), columns=st.integers(3, 4), rows=st.integers(2, 3), vehicles=st.integers(2, 4))
def test_everybody_gets_home_and_nobody_comes_too_near(seed: int, columns: int, rows: int, vehicles: int) -> None:
    rng = random.Random(seed)
    site = random_site(rng, columns, rows, vehicles)
    fleet = Fleet(site, rng)
    racks = [x.id for x in site.locations]
    orders = vehicles * 2
    for i in range(orders):
        source, dest = rng.sample(racks, 2)
        fleet.enter(HostRequest("t", f"a{i}", AnnounceLoad(f"L{i}", source)))
        fleet.enter(HostRequest("t", f"o{i}", CreateOrder(f"O{i}", (StepRequest("go", "move", f"L{i}", dest),))))
    state, speeds = fleet.kernel.state, {v: rng.choice((1, 3, 10)) for v in fleet.at}
    for _ in range(4000):
        if not state.trips and not state.open_orders():
            break
        fleet.step(rng.choices(list(speeds), list(speeds.values()))[0])
        if rng.random() < 0.2:
            fleet.enter(Tick())
    assert {o.state for o in state.orders.values()} == {"finished"}, [vars_of(t) for t in state.trips.values()]
    assert fleet.at == {d.id: d.home for d in site.devices}  # type: ignore[union-attr]
    assert state.locked == []


def vars_of(trip: object) -> str:
    names = ("vehicle", "passed", "released", "nodes", "waits_for")
    return " ".join(f"{name}={getattr(trip, name)}" for name in names)
