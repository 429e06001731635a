"""From a vehicle's messages, of any version we speak, to the records of `gateway.devices.agv`. Pure.

Everything raises msgspec.DecodeError; a message of another major version ForeignVersionError, which is one.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Literal, TypeVar

import msgspec

from drivers.vda5050 import limits
from drivers.vda5050 import messages as wire
from drivers.vda5050.limits import Limits
from drivers.vda5050.version import Version
from gateway.contract import Scalar
from gateway.devices.agv import ActionState, AgvError, AgvFactsheet, AgvReport, PathState

_HEAD = msgspec.json.Decoder(wire.Head)
_STATE = msgspec.json.Decoder(wire.State)
_CONNECTION = msgspec.json.Decoder(wire.Connection)
_VISUALIZATION = msgspec.json.Decoder(wire.Visualization)
_FACTSHEET = msgspec.json.Decoder(wire.Factsheet)
PAYLOAD_BYTES_MAX = 262_144
"""Far above any real state message; a larger one is refused unread."""
_PERCENT_MAX = 100.0
_DISTANCE_M_MAX = 1_000_000.0
ConnectionState = Literal["ONLINE", "OFFLINE", "HIBERNATING", "CONNECTIONBROKEN"]
# 3.0 writes two words that 2.x wrote in one; the records keep 2.x's.
_WORDS = {"CONNECTION_BROKEN": "CONNECTIONBROKEN", "TEACH_IN": "TEACHIN"}
T = TypeVar("T")
_BY_SEQUENCE = attrgetter("sequence_id")


class States:
    """Reads the state messages of one vehicle. Most differ from the last one in position and speed alone: then its
    report is the last one's, not built anew."""

    def __init__(self, serial: str, version: Version) -> None:
        self._serial = serial
        self._version = version
        self._last: tuple[object, ...] | None = None
        self._report: AgvReport | None = None
        self._newest = (0, "")
        """`headerId` and `timestamp` of the newest state."""

    def forget(self) -> None:
        """The vehicle or the broker began anew: what comes next is the newest, whatever it says."""
        self._newest = (0, "")

    def read(self, payload: bytes) -> tuple[AgvReport, dict[str, Scalar], wire.State]:
        """The report, the telemetry and the whole message; the report is the same object while nothing in it changes.

        Raises msgspec.DecodeError, also for a state that is older than one that was read.
        """
        version = self._version
        message = _decode_state(payload, version)
        _same(message.serial_number, self._serial)
        self._require_newer(message)
        position = message.mobile_robot_position if version.is_3 else message.agv_position
        localised = position is None or _localised(position, version)
        shown = (*_SHOWN(message), localised)
        report = self._report
        if report is None or shown != self._last:
            report = _report(message, version, localised=localised)
            self._last, self._report = shown, report
        self._newest = (message.header_id, message.timestamp)
        return report, _telemetry(position, message.velocity), message

    def _require_newer(self, message: wire.State) -> None:
        header_id, timestamp = self._newest
        # Both must be older: the count begins anew at a restart and at 2^32, the clock is set by people. Texts of one
        # length are times of one format.
        if message.header_id < header_id and message.timestamp < timestamp and len(message.timestamp) == len(timestamp):
            raise msgspec.ValidationError(
                f"an older state (headerId {message.header_id}, {message.timestamp}) after a newer one ({header_id}, "
                f"{timestamp}) is not read - at `$.headerId`"
            )


_SHOWN = attrgetter(
    "order_id", "order_update_id", "last_node_id", "last_node_sequence_id", "node_states", "edge_states", "driving",
    "paused", "new_base_request", "operating_mode", "action_states", "instant_action_states", "battery_state",
    "power_supply", "safety_state", "errors", "loads",
)  # fmt: skip
"""All that a report is made of, but whether the vehicle knows where it is."""


def state(payload: bytes, serial: str, version: Version) -> tuple[AgvReport, dict[str, Scalar]]:
    """The report and the telemetry in a state message of vehicle `serial`."""
    return States(serial, version).read(payload)[:2]


def _decode_state(payload: bytes, version: Version) -> wire.State:
    _limit(payload)
    try:
        message = _STATE.decode(payload)
    except msgspec.ValidationError:
        # It may be of another version, by whose names it is right.
        version.require_same_major(_HEAD.decode(payload).version)
        raise
    version.require_same_major(message.version)
    return message


def _report(message: wire.State, version: Version, *, localised: bool) -> AgvReport:
    percent, charging = _battery(message, version)
    safety = message.safety_state
    if version.is_3:
        e_stop = _must(safety.active_emergency_stop, "safetyState.activeEmergencyStop")
        instants = _must(message.instant_action_states, "instantActionStates")
    else:
        e_stop, instants = _must(safety.e_stop, "safetyState.eStop"), ()
    return AgvReport(
        drive_id=message.order_id,
        update_id=message.order_update_id,
        last_node=message.last_node_id,
        last_sequence_id=message.last_node_sequence_id,
        path=tuple(
            PathState(node.node_id, node.sequence_id, node.released)
            for node in sorted(message.node_states, key=_BY_SEQUENCE)
        ),
        edges_left=len(message.edge_states),
        actions=tuple(_action(a, version) for a in (*message.action_states, *instants)),
        driving=message.driving,
        paused=bool(message.paused),
        new_base_request=bool(message.new_base_request),
        operating_mode=_WORDS.get(message.operating_mode, message.operating_mode),
        battery_permille=round(percent * 10),
        charging=charging,
        e_stop=e_stop,
        field_violation=safety.field_violation,
        errors=tuple(_error(error, version) for error in message.errors),
        loads=None if message.loads is None else tuple(load.load_id or "" for load in message.loads),
        localised=localised,
    )


def connection(payload: bytes, serial: str, version: Version) -> ConnectionState:
    """What the vehicle says; a last will's timestamp and headerId are stale by nature and not read."""
    _admit(payload, version)
    message = _CONNECTION.decode(payload)
    _same(message.serial_number, serial)
    return _connection_word(message)


def connection_word(payload: bytes) -> ConnectionState:
    """What a vehicle of any version says of its connection, on any topic."""
    _limit(payload)
    return _connection_word(_CONNECTION.decode(payload))


def _connection_word(message: wire.Connection) -> ConnectionState:
    word = message.connection_state
    return "CONNECTIONBROKEN" if word == "CONNECTION_BROKEN" else word


def visualization(payload: bytes, version: Version) -> dict[str, Scalar]:
    """Telemetry: x_mm, y_mm, theta_mrad, map, speed_mm_s, as far as the vehicle sends them."""
    _admit(payload, version)
    message = _VISUALIZATION.decode(payload)
    position = message.mobile_robot_position if version.is_3 else message.agv_position
    return _telemetry(position, message.velocity)


def factsheet(payload: bytes, serial: str, version: Version) -> tuple[AgvFactsheet, Limits]:
    """What the vehicle says of itself, and what it allows us to send."""
    _admit(payload, version)
    message = _FACTSHEET.decode(payload)
    _same(message.serial_number, serial)
    physical, features = message.physical_parameters, message.protocol_features
    if version.is_3:
        speed_m_s = _must(physical.maximum_speed, "physicalParameters.maximumSpeed")
        actions = _must(features.mobile_robot_actions, "protocolFeatures.mobileRobotActions")
    else:
        speed_m_s = _must(physical.speed_max, "physicalParameters.speedMax")
        actions = _must(features.agv_actions, "protocolFeatures.agvActions")
    sheet = AgvFactsheet(
        series=message.type_specification.series_name,
        actions=tuple(action.action_type for action in actions),
        speed_max_mm_s=_milli(speed_m_s, "speedMax"),
        length_mm=_milli(physical.length, "length"),
        width_mm=_milli(physical.width, "width"),
    )
    return sheet, limits.read(message, version)


def _admit(payload: bytes, version: Version) -> None:
    _limit(payload)
    version.require_same_major(_HEAD.decode(payload).version)


def _must(value: T | None, field: str) -> T:
    """What the vehicle's version demands, though another version has it under another name or not at all."""
    if value is None:
        raise msgspec.ValidationError(f"Object missing required field `{field}` - at `$`")
    return value


def _battery(message: wire.State, version: Version) -> tuple[float, bool]:
    if version.is_3:
        supply = _must(message.power_supply, "powerSupply")
        field, percent, charging = "powerSupply.stateOfCharge", supply.state_of_charge, supply.charging
    else:
        battery = _must(message.battery_state, "batteryState")
        field, percent, charging = "batteryState.batteryCharge", battery.battery_charge, battery.charging
    if not 0.0 <= percent <= _PERCENT_MAX:
        raise msgspec.ValidationError(f"{field} is {percent} %, 0 to 100 is possible - at `$.{field}`")
    return percent, charging


def _localised(position: wire.Position, version: Version) -> bool:
    """True where the vehicle does not say: it would not give a position that it does not know."""
    word = position.localized if version.is_3 else position.position_initialized
    return word is not False


def _action(action: wire.ActionStateMessage, version: Version) -> ActionState:
    result = action.action_result if version.is_3 else action.result_description
    return ActionState(action.action_id, action.action_status, result or "")


def _limit(payload: bytes) -> None:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise msgspec.ValidationError(f"{len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} are read")


def _same(found: str, expected: str) -> None:
    if found != expected:
        raise msgspec.ValidationError(f"serialNumber is {found!r} on the topic of {expected!r} - at `$.serialNumber`")


def _milli(value: float, field: str) -> int:
    # The comparison also refuses what JSON's 1e999 becomes: infinity has no integer.
    if not -_DISTANCE_M_MAX <= value <= _DISTANCE_M_MAX:
        raise msgspec.ValidationError(f"{field} is {value}, beyond ±{_DISTANCE_M_MAX:.0f}")
    return round(value * 1000)


def _error(error: wire.ErrorState, version: Version) -> AgvError:
    references = error.error_references or ()
    drive_id = next((r.reference_value for r in references if r.reference_key == "orderId"), "")
    return AgvError(version.error_type(error.error_type), error.error_level, error.error_description or "", drive_id)


def _telemetry(position: wire.Position | None, velocity: wire.Velocity | None) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if position is not None:
        values["x_mm"] = _milli(position.x, "position x")
        values["y_mm"] = _milli(position.y, "position y")
        values["theta_mrad"] = _milli(position.theta, "position theta")
        values["map"] = position.map_id
    if velocity is not None:
        vx_mm_s, vy_mm_s = _milli(velocity.vx, "velocity.vx"), _milli(velocity.vy, "velocity.vy")
        values["speed_mm_s"] = round((vx_mm_s**2 + vy_mm_s**2) ** 0.5)
    return values
