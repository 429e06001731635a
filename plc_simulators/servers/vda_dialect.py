"""What VDA 5050 2.0 and 3.0 write otherwise than 2.1, in which the vehicle model and its messages are written.

Read from the standard by itself, so that a mistake of the gateway's driver is not made here as well: a message that
uses another version's names is malformed. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plc_simulators.models.vda_order import MalformedError

Body = dict[str, Any]
VERSIONS = ("2.0.0", "2.1.0", "3.0.0")
READ_AS = "2.1.0"
_ERRORS_3 = {
    "validationError": "VALIDATION_FAILURE",
    "orderError": "INVALID_ORDER",
    "orderUpdateError": "OUTDATED_ORDER_UPDATE",
    "noRouteError": "NO_ROUTE_TO_TARGET",
    "noOrderToCancel": "NO_ORDER_TO_CANCEL",
    "unsupportedAction": "INVALID_INSTANT_ACTION",
    "driveFault": "DRIVE_FAULT",
}
_EDGE_2 = ("maxSpeed", "startNodeId", "endNodeId")
_TYPE_3 = {
    "agvKinematic": "mobileRobotKinematics",
    "agvClass": "mobileRobotClass",
    "maxLoadMass": "maximumLoadMass",
}
_PHYSICAL_3 = {
    "speedMin": "minimumSpeed",
    "speedMax": "maximumSpeed",
    "accelerationMax": "maximumAcceleration",
    "decelerationMax": "maximumDeceleration",
    "heightMax": "maximumHeight",
}
_TIMING_3 = {"minOrderInterval": "minimumOrderInterval", "minStateInterval": "minimumStateInterval"}


class Dialect:
    """One vehicle's version. Raises ValueError for one that is not spoken here."""

    def __init__(self, version: str) -> None:
        if version not in VERSIONS:
            raise ValueError(f"VDA 5050 {version} is not simulated; take one of {', '.join(VERSIONS)}")
        self.version = version
        self.major = version.partition(".")[0]
        self._states_sent = 0

    # --- what the vehicle says ---

    def connection_word(self, word: str) -> str:
        return "CONNECTION_BROKEN" if self.major == "3" and word == "CONNECTIONBROKEN" else word

    def outgoing(self, topic: str, body: Body, header_id: int, instants: frozenset[str]) -> Body:
        """The body of a message as this version writes it; `instants` are the ids of the instant actions in it."""
        if topic == "state":
            self._states_sent = header_id
        if self.version == "2.0.0" and topic == "state":
            return _state_20(body)
        if self.major == "2":
            return body
        writers: Mapping[str, Callable[[Body], Body]] = {
            "connection": lambda b: {"connectionState": self.connection_word(b["connectionState"])},
            "visualization": lambda b: {
                "referenceStateHeaderId": self._states_sent,
                "mobileRobotPosition": _position_3(b["agvPosition"]),
                "velocity": b["velocity"],
            },
            "state": lambda b: _state_3(b, instants),
            "factsheet": _factsheet_3,
        }
        return writers[topic](body)

    # --- what the vehicle hears ---

    def order(self, message: Any) -> Any:
        """A decoded order as the model reads it. Raises MalformedError."""
        body = self._admit(message)
        if self.major == "2" or not isinstance(body.get("edges"), list) or not isinstance(body.get("nodes"), list):
            return body
        nodes = [node.get("nodeId") if isinstance(node, dict) else None for node in body["nodes"]]
        edges = [_edge_21(edge, *nodes[n : n + 2]) for n, edge in enumerate(body["edges"]) if n + 1 < len(nodes)]
        edges += body["edges"][len(edges) :]
        nodes_21 = [{**n, "actions": _hard(n.get("actions"))} if isinstance(n, dict) else n for n in body["nodes"]]
        return {**body, "version": READ_AS, "nodes": nodes_21, "edges": edges}

    def instant_actions(self, message: Any) -> Any:
        """Decoded instant actions as the model reads them. Raises MalformedError."""
        body = self._admit(message)
        actions = body.get("actions")
        for action in actions if isinstance(actions, list) else ():
            if isinstance(action, dict) and self.major == "3" and action.get("blockingType") != "NONE":
                raise MalformedError(f"blockingType {action.get('blockingType')} of an instant action: 3.0 knows NONE")
            if isinstance(action, dict) and self.version == "2.0.0" and "actionName" not in action:
                raise MalformedError("actionName is missing: 2.0's schema of instantActions demands it")
        return body

    def _admit(self, message: Any) -> Body:
        if not isinstance(message, dict):
            raise MalformedError("the message is not a JSON object")
        version = message.get("version")
        if not isinstance(version, str) or version.partition(".")[0] != self.major:
            raise MalformedError(f"version {version} is not {self.major}.x, which this vehicle speaks")
        return message


def _edge_21(edge: Any, start: Any, end: Any) -> Any:
    if not isinstance(edge, dict):
        return edge
    wrong = [name for name in _EDGE_2 if name in edge]
    if wrong:
        raise MalformedError(f"{', '.join(wrong)} of edge {edge.get('edgeId')}: 3.0 has no such field")
    return {**edge, "startNodeId": start, "endNodeId": end, "maxSpeed": edge.get("maximumSpeed")}


def _hard(actions: Any) -> Any:
    """SINGLE (alone, but driving on) is done standing, as this vehicle does all its node actions."""
    if not isinstance(actions, list):
        return actions
    single = {"blockingType": "SINGLE"}.items()
    return [{**a, "blockingType": "HARD"} if isinstance(a, dict) and single <= a.items() else a for a in actions]


def _state_20(body: Body) -> Body:
    # 2.0's schema wants an orientation in every nodePosition, and our nodes have none: the optional field is left out.
    return {**body, "nodeStates": [_without(node, "nodePosition") for node in body["nodeStates"]]}


def _state_3(body: Body, instants: frozenset[str]) -> Body:
    left = {"agvPosition", "batteryState", "safetyState", "actionStates", "errors"}
    battery, safety = body["batteryState"], body["safetyState"]
    actions = [_renamed(action, {"resultDescription": "actionResult"}) for action in body["actionStates"]]
    return {
        **_without(body, *left),
        "mobileRobotPosition": _position_3(body["agvPosition"]),
        "powerSupply": {"stateOfCharge": battery["batteryCharge"], "charging": battery["charging"]},
        "safetyState": {"activeEmergencyStop": safety["eStop"], "fieldViolation": safety["fieldViolation"]},
        "actionStates": [action for action in actions if action["actionId"] not in instants],
        "instantActionStates": [action for action in actions if action["actionId"] in instants],
        "errors": [{**e, "errorType": _ERRORS_3.get(e["errorType"], e["errorType"])} for e in body["errors"]],
    }


def _position_3(position: Body) -> Body:
    return _renamed(position, {"positionInitialized": "localized"})


def _factsheet_3(body: Body) -> Body:
    limits, features = body["protocolLimits"], body["protocolFeatures"]
    actions = [{**action, "pauseAllowed": False, "cancelAllowed": False} for action in features["agvActions"]]
    return {
        "typeSpecification": _renamed(body["typeSpecification"], _TYPE_3),
        "physicalParameters": {**_renamed(body["physicalParameters"], _PHYSICAL_3), "minimumHeight": 0.0},
        "protocolLimits": {
            "maximumStringLengths": limits["maxStringLens"],
            "maximumArrayLengths": limits["maxArrayLens"],
            "timing": _renamed(limits["timing"], _TIMING_3),
        },
        "protocolFeatures": {"optionalParameters": features["optionalParameters"], "mobileRobotActions": actions},
        "mobileRobotGeometry": body["agvGeometry"],
        "loadSpecification": body["loadSpecification"],
    }


def _renamed(body: Body, names: Mapping[str, str]) -> Body:
    return {names.get(key, key): value for key, value in body.items()}


def _without(body: Body, *names: str) -> Body:
    return {key: value for key, value in body.items() if key not in names}
