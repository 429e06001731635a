"""All boards together: brought up to the state of the gateway, topic by topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gateway.contract import Ns, Scalar
from gateway.host.gate import Gate
from gateway.host.live import equipment, flow
from gateway.host.live.board import Board
from gateway.host.live.plan import plan_of
from gateway.host.live.topics import MAPS, Topic
from gateway.site import Site

SECOND_NS = 1_000_000_000

_json = msgspec.json.Encoder()


class Picture:
    """What has been shown so far. Nothing is looked at but what is asked for."""

    def __init__(self, gate: Gate, figures: equipment.Figures | None, version: str) -> None:
        self._gate = gate
        self._version = version
        self._boards = {name: Board(name) for names in MAPS.values() for name in names if name != "site"}
        self._site: Site | None = None
        self._plan: dict[str, Any] = {}
        self._plan_is_new = False
        self._parts = equipment.Parts()
        self._ages = equipment.Ages(figures) if figures is not None else None
        self.orders = flow.Orders()
        self._loads = flow.Loads(gate.kernel.floor)
        self._floor: object = gate.kernel.floor
        self._looks: dict[Topic, Callable[[Ns], None]] = {
            "gateway": self._look_at_gateway,
            "site": self._look_at_site,
            "devices": self._look_at_devices,
            "positions": lambda _: equipment.look_at_positions(gate.telemetry, self._boards["positions"]),
            "ages": self._look_at_ages,
            "loads": self._look_at_loads,
            "orders": lambda _: self.orders.look(gate.kernel.state, self._boards["orders"]),
            "alarms": lambda _: flow.look_at_alarms(gate.kernel.state, self._boards["alarms"]),
            "people": lambda _: flow.look_at_people(gate.kernel.state, self._boards["people"]),
            "tally": lambda _: flow.look_at_tally(gate.kernel.state, self._boards["tally"]),
            "reservations": self._look_at_reservations,
        }

    def look(self, topics: Iterable[Topic], now_ns: Ns) -> None:
        """Bring these topics up to date; what has changed waits to be taken."""
        for topic in topics:
            self._looks[topic](now_ns)

    def taken(self) -> dict[Topic, str]:
        """What has changed, by topic, as the members of a JSON object; from now on that is nothing."""
        found: dict[Topic, str] = {}
        for topic, names in MAPS.items():
            if topic == "site":
                if self._plan_is_new:
                    self._plan_is_new = False
                    found[topic] = f'"site":{_json.encode(self._plan).decode()}'
                continue
            members = [
                f'"{name}":{_json.encode(self._boards[name].taken()).decode()}'
                for name in names
                if self._boards[name].changes
            ]
            if members:
                found[topic] = ",".join(members)
        return found

    def whole(self, topic: Topic, entries_max: int) -> list[str]:
        """All entries of a topic as members of JSON objects, in parts of so many entries; empty maps are named, too."""
        if topic == "site":
            return [f'"site":{_json.encode(self._plan).decode()}']
        parts: list[str] = []
        for name in MAPS[topic]:
            entries = list(self._boards[name].entries.items())
            for begin in range(0, max(len(entries), 1), entries_max):
                some = dict(entries[begin : begin + entries_max])
                parts.append(f'"{name}":{_json.encode(some).decode()}')
        return parts

    def _look_at_gateway(self, now_ns: Ns) -> None:
        state, board = self._gate.kernel.state, self._boards["gateway"]
        shown: dict[str, Scalar] = {"status": self._gate.status, "version": self._version, "epoch": state.epoch}
        second_ms = now_ns // SECOND_NS * 1000
        if board.entries.get("time_ms") != second_ms:
            # Once a second: the sign of life that a client goes by, and no reason for a frame each time.
            shown |= {"time_ms": second_ms, "input_ms": state.now_ns // 1_000_000, "input": state.seq}
        for name, value in shown.items():
            board.show(name, value)

    def _look_at_site(self, _now_ns: Ns) -> None:
        if self._site is not self._gate.kernel.site:
            self._site = self._gate.kernel.site
            self._plan = plan_of(self._site)
            self._plan_is_new = True

    def _look_at_devices(self, _now_ns: Ns) -> None:
        boards = self._boards
        equipment.look_at_devices(
            self._gate.kernel.state, boards["devices"], boards["zones"], boards["lanes"], self._parts
        )

    def _look_at_ages(self, now_ns: Ns) -> None:
        if self._ages is not None:
            self._ages.look(now_ns, self._boards["ages"])

    def _look_at_loads(self, _now_ns: Ns) -> None:
        if self._floor is not self._gate.kernel.floor:
            self._floor, self._loads = self._gate.kernel.floor, flow.Loads(self._gate.kernel.floor)
        self._loads.look(self._gate.kernel.state, self._boards["loads"])

    def _look_at_reservations(self, _now_ns: Ns) -> None:
        equipment.look_at_reservations(self._gate.kernel.state, self._boards["passes"], self._boards["room"])
