"""What a vehicle publishes, as VDA 5050 wants it: metres and radians, one header count per topic.

The bodies are 2.1's; `vda_dialect` rewrites them for a vehicle of another version.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from plc_simulators.models.acceptance import NODE_ACTIONS
from plc_simulators.models.agv import INSTANT_ACTIONS, Agv
from plc_simulators.models.vda_order import ACTIONS_MAX, NODES_MAX, Node
from plc_simulators.servers.vda_dialect import Dialect

STATE_PERIOD_S = 2.0
VISUALIZATION_PERIOD_S = 1.0
LENGTH_M, WIDTH_M, HEIGHT_M, LOAD_KG = 0.9, 0.6, 0.4, 50


class Messages:
    """Builds the messages of one vehicle as JSON bytes."""

    def __init__(self, agv: Agv, map_id: str, dialect: Dialect) -> None:
        self._agv = agv
        self._dialect = dialect
        self._map_id = map_id
        self._theta = 0.0
        self._counts: Counter[str] = Counter()

    def topic(self, name: str) -> str:
        layout = self._agv.layout
        return f"{layout.interface}/v{self._dialect.major}/{layout.manufacturer}/{layout.serial}/{name}"

    def connection(self, state: str) -> bytes:
        return self._message("connection", {"connectionState": state})

    def visualization(self) -> bytes:
        return self._message("visualization", {"agvPosition": self._position(), "velocity": self._velocity()})

    def state(self) -> bytes:
        agv = self._agv
        body: dict[str, Any] = {
            "orderId": agv.order_id,
            "orderUpdateId": agv.update_id,
            "lastNodeId": agv.last_node,
            "lastNodeSequenceId": agv.last_seq,
            "driving": agv.driving,
            "paused": agv.paused,
            "newBaseRequest": agv.new_base_request,
            "distanceSinceLastNode": _metres(agv.since_node_mm),
            "operatingMode": "AUTOMATIC",
            "nodeStates": [self._node_state(node) for node in agv.nodes],
            "edgeStates": [
                {"edgeId": edge.id, "sequenceId": edge.seq, "released": edge.released} for edge in agv.edges
            ],
            "agvPosition": self._position(),
            "velocity": self._velocity(),
            "loads": [{"loadId": agv.deck.load, "loadType": "tote", "loadPosition": "deck"}] if agv.deck.load else [],
            "actionStates": [
                {
                    "actionId": action.id,
                    "actionType": action.type,
                    "actionStatus": action.status,
                    "resultDescription": action.result,
                }
                for action in agv.actions
            ],
            "batteryState": {"batteryCharge": round(agv.battery_percent, 1), "charging": agv.charging},
            "errors": [
                {
                    "errorType": error.type,
                    "errorLevel": error.level,
                    "errorDescription": error.description,
                    "errorReferences": [
                        {"referenceKey": key, "referenceValue": value} for key, value in error.references
                    ],
                }
                for error in agv.errors
            ],
            "information": [],
            "safetyState": {"eStop": "MANUAL" if agv.stopped else "NONE", "fieldViolation": False},
        }
        return self._message("state", body)

    def factsheet(self) -> bytes:
        speed_m_s = self._agv.layout.speed_max_mm_s / 1000
        actions = [(name, ["NODE"]) for name in NODE_ACTIONS] + [(name, ["INSTANT"]) for name in INSTANT_ACTIONS]
        handling = [
            {"key": "stationName", "valueDataType": "STRING", "isOptional": False},
            {"key": "loadId", "valueDataType": "STRING", "isOptional": True},
        ]
        body: dict[str, Any] = {
            "typeSpecification": {
                "seriesName": "Stellwerk simulated carrier",
                "agvKinematic": "DIFF",
                "agvClass": "CARRIER",
                "maxLoadMass": LOAD_KG,
                "localizationTypes": ["NATURAL"],
                "navigationTypes": ["VIRTUAL_LINE_GUIDED"],
            },
            "physicalParameters": {
                "speedMin": 0.1,
                "speedMax": speed_m_s,
                "accelerationMax": 1.0,
                "decelerationMax": 1.0,
                "heightMax": HEIGHT_M,
                "width": WIDTH_M,
                "length": LENGTH_M,
            },
            "protocolLimits": {
                "maxStringLens": {},
                "maxArrayLens": {
                    "order.nodes": NODES_MAX,
                    "order.edges": NODES_MAX,
                    "node.actions": ACTIONS_MAX,
                    "instantActions": ACTIONS_MAX,
                },
                "timing": {
                    "minOrderInterval": 0.0,
                    "minStateInterval": 0.0,
                    "defaultStateInterval": STATE_PERIOD_S,
                    "visualizationInterval": VISUALIZATION_PERIOD_S,
                },
            },
            "protocolFeatures": {
                "optionalParameters": [],
                # Without the optional blockingTypes: the published 2.1.0 schema puts its enum on the array itself, so
                # that no array can be valid.
                "agvActions": [
                    {
                        "actionType": name,
                        "actionScopes": scopes,
                        "actionParameters": handling if name in NODE_ACTIONS else [],
                    }
                    for name, scopes in actions
                ],
            },
            "agvGeometry": {},
            "loadSpecification": {"loadPositions": ["deck"]},
        }
        return self._message("factsheet", body)

    def _message(self, topic: str, body: dict[str, Any]) -> bytes:
        header_id = self._counts[topic]
        self._counts[topic] = (header_id + 1) % 2**32
        instants = frozenset(action.id for action in self._agv.actions if action.instant)
        header = {
            "headerId": header_id,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "version": self._dialect.version,
            "manufacturer": self._agv.layout.manufacturer,
            "serialNumber": self._agv.layout.serial,
        }
        return json.dumps(
            header | self._dialect.outgoing(topic, body, header_id, instants), separators=(",", ":")
        ).encode()

    def _node_state(self, node: Node) -> dict[str, Any]:
        state: dict[str, Any] = {"nodeId": node.id, "sequenceId": node.seq, "released": node.released}
        if node.position_mm is not None:
            x_mm, y_mm = node.position_mm
            state["nodePosition"] = {"x": _metres(x_mm), "y": _metres(y_mm), "mapId": self._map_id}
        return state

    def _position(self) -> dict[str, Any]:
        vx, vy = self._agv.velocity_mm_s
        if vx or vy:
            # A standing vehicle keeps looking where it looked.
            self._theta = round(math.atan2(vy, vx), 4)
        return {
            "x": _metres(self._agv.x_mm),
            "y": _metres(self._agv.y_mm),
            "theta": self._theta,
            "mapId": self._map_id,
            "positionInitialized": self._agv.localised,
        }

    def _velocity(self) -> dict[str, float]:
        vx, vy = self._agv.velocity_mm_s
        # In the vehicle's own axes: it only drives forwards.
        return {"vx": _metres(math.hypot(vx, vy)), "vy": 0.0, "omega": 0.0}


def _metres(mm: float) -> float:
    return round(mm / 1000, 3)
