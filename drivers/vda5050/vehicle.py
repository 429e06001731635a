"""One vehicle behind the broker: its link state, what of its messages the kernel hears, and what it is owed."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import datetime, timedelta

import msgspec

from drivers.link import Link
from drivers.meter import Meter
from drivers.vda5050 import decode, leases
from drivers.vda5050 import messages as wire
from drivers.vda5050.encode import Sender
from drivers.vda5050.leases import Leases
from drivers.vda5050.limits import Limits
from drivers.vda5050.version import ForeignVersionError, Version
from gateway.contract import DeviceId, Notice, NotWritten, Ns, Report, Sink
from gateway.devices.agv import AgvFactsheet, AgvReport, Drive, Instant
from gateway.site import AgvSpec, Profile

SILENT_MS = 5_000
"""The retained connection message comes right after subscribing; without it for so long, there is none."""
ASK_EVERY_NS = 2_000_000_000
"""A vehicle that goes and comes is asked for its state and factsheet this often at most."""
UNANSWERED_NS = 30_000_000_000
"""A command that no state has shown for so long counts as unanswered: the standard asks for a state every 30 s."""
WAITING_MAX = 16
"""Commands whose first appearance in a state is waited for; beyond it the oldest counts as unanswered."""
_REASON = {
    "HIBERNATING": "vehicle hibernates: wake it up, or wait for it",
    "OFFLINE": "vehicle has signed off: switch it on, or wait for it",
    "CONNECTIONBROKEN": "vehicle has lost its radio link to the broker: look where it stands",
}


class Vehicle:
    """Up only while the vehicle says ONLINE and its states flow; each `up` is followed by a full report."""

    def __init__(self, spec: AgvSpec, profile: Profile, sink: Sink) -> None:
        connection = spec.connection
        try:
            self._version = Version.of(profile.vda_version)
        except ValueError as problem:
            raise ValueError(f"{spec.id}: profile {profile.profile}: {problem}") from problem
        self.device: DeviceId = spec.id
        self.meter = Meter(spec.id, "vda5050", time.monotonic_ns)
        self.topic = f"{connection.interface}/v{self._version.major}/{connection.manufacturer}/{connection.serial}"
        self.link = Link(spec.id, sink)
        self.sender = Sender(self._version, connection.manufacturer, connection.serial)
        self._serial = connection.serial
        self._sink = sink
        self._stale_ms = profile.handshake.stale_ms
        self._online = False
        self._heard = False
        """A connection message has come on this connection to the broker, or its absence has been told."""
        self._since_ns: Ns = 0
        self._state_ns: Ns | None = None
        self._last: AgvReport | None = None
        self._factsheet: AgvFactsheet | None = None
        self._limits = Limits()
        self._is_foreign = False
        """The last state or connection message bore another major version: its reason stands, whatever else is due."""
        self._elsewhere = ""
        """The topic root under which this vehicle says that it is online, where that is not its own."""
        self._states = decode.States(connection.serial, self._version)
        self._maps: tuple[wire.MapState, ...] = ()
        self._leases = Leases()
        self._answers: tuple[tuple[str, str], ...] = ()
        self._waiting: OrderedDict[tuple[str, int], Ns] = OrderedDict()
        """Commands that no state has shown yet, and when they were first sent; update number -1: an instant action."""
        self._ordered_ns: Ns | None = None
        self._ask_ns: Ns | None = None
        """When it is to be asked for its state and factsheet; None: not at all."""
        self._asked_ns: Ns | None = None
        self._asked = 0

    @property
    def name(self) -> str:
        """Manufacturer and serial, as the last two parts of its topic root."""
        return self.topic.split("/", self.topic.count("/") - 1)[-1]

    def broker_up(self, now_ns: Ns) -> None:
        """Subscribed: what the vehicle said on an earlier connection is no evidence."""
        self._online = self._heard = self._is_foreign = False
        self._elsewhere, self._ask_ns, self._answers = "", None, ()
        self._states.forget()
        self._since_ns, self._state_ns = now_ns, None
        self.meter.connects += 1

    def broker_down(self, reason: str) -> None:
        self._online = False
        self.link.change("down", f"{self.device}: {reason}")

    def take(self, kind: str, payload: bytes, *, retained: bool, now_ns: Ns) -> bool:
        """Act on one message; True when the vehicle is now owed something.

        Raises msgspec.DecodeError for what can't be read; nothing has changed then.
        """
        if retained and kind in ("state", "visualization"):
            # A retained state or position is of unknown age: it may describe yesterday.
            return False
        try:
            owed = self._take(kind, payload, now_ns)
            self.meter.heard()
            return owed
        except ForeignVersionError as foreign:
            if kind not in ("connection", "state"):
                raise
            self._refuse(kind, str(foreign).partition(" - at ")[0])
            return False

    def elsewhere(self, root: str, payload: bytes) -> None:
        """A connection message of this vehicle under another root than its profile's; it counts for the reason only."""
        try:
            online = decode.connection_word(payload) == "ONLINE"
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if online or root == self._elsewhere:
            self._elsewhere = root[:100] if online else ""

    def order_rest_s(self, now_ns: Ns) -> float:
        """How long the vehicle wants to be left without a further order, by its factsheet; 0 where it may come now."""
        if self._ordered_ns is None:
            return 0.0
        return max(0.0, self._limits.order_interval_s - (now_ns - self._ordered_ns) / 1e9)

    @property
    def order_interval_s(self) -> float:
        return self._limits.order_interval_s

    def compose(self, action: Drive | Instant, timestamp: str) -> tuple[str, bytes]:
        """Topic and payload of a command. Raises NotWritten(certain=True) for what factsheet or maps rule out."""
        if isinstance(action, Drive):
            self._require_map(action.map_id)
            kind, payload = "order", self.sender.order(action, timestamp)
        else:
            kind, payload = "instantActions", self.sender.instant_actions(action, timestamp)
        problem = self._limits.problem(action, payload, self._version)
        if problem is not None:
            raise NotWritten(f"{self.device}: {problem}; nothing was written", certain=True)
        return f"{self.topic}/{kind}", payload

    def sending(self, action: Drive | Instant, now_ns: Ns) -> None:
        """A command is being written now."""
        self.meter.requests += 1
        if isinstance(action, Drive):
            key = (action.drive_id, action.update_id)
            self._ordered_ns = now_ns
            self._leases.released(action)
        else:
            key = (action.action_id, -1)
        # Sent again, it is answered since the first time: what was lost on the way counts as delay.
        self._waiting.setdefault(key, now_ns)
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popitem(last=False)
            self.meter.errors += 1

    def owed(self, now_ns: Ns, timestamp: str) -> list[tuple[str, bytes]]:
        """Topics and payloads of what the driver itself has to tell the vehicle now: questions, and answers to its own.

        `timestamp`: now, in ISO 8601.
        """
        found: list[tuple[str, bytes]] = []
        if self._ask_ns is not None and now_ns >= self._ask_ns:
            self._ask_ns, self._asked_ns = None, now_ns
            for kind in ("stateRequest", "factsheetRequest"):
                self._asked += 1
                instant = Instant(action_id=f"{kind}-{timestamp}-{self._asked}", kind=kind, blocking="NONE")
                found.append((f"{self.topic}/instantActions", self.sender.instant_actions(instant, timestamp)))
        if self._answers:
            expiry = datetime.fromisoformat(timestamp) + timedelta(seconds=leases.LEASE_S)
            text = expiry.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            payload = self.sender.responses(leases.messages(self._answers, text), timestamp)
            found.append((f"{self.topic}/responses", payload))
            self._answers = ()
        self.meter.requests += len(found)
        return found

    def _require_map(self, map_id: str) -> None:
        if not self._maps or any(m.map_id == map_id and m.map_status == "ENABLED" for m in self._maps):
            return
        listed = ", ".join(f"{m.map_id} ({m.map_status.lower()})" for m in self._maps[:8])
        raise NotWritten(
            f"{self.device}: its state lists the maps {listed}, none is {map_id} enabled: enable it there (enableMap), "
            "or set `map.id` of the site to the vehicle's; nothing was written",
            certain=True,
        )

    def _take(self, kind: str, payload: bytes, now_ns: Ns) -> bool:
        if kind == "connection":
            return self._connection(decode.connection(payload, self._serial, self._version), now_ns)
        if kind == "state":
            return self._state(payload, now_ns)
        if kind == "factsheet":
            self._take_factsheet(*decode.factsheet(payload, self._serial, self._version))
        elif kind == "visualization" and (values := decode.visualization(payload, self._version)):
            self._sink.telemetry(self.device, values)
        return False

    def age(self, now_ns: Ns) -> bool:
        """Doubt a vehicle whose states have stopped; say of a silent one that it is silent. True: something is owed."""
        while self._waiting and now_ns - next(iter(self._waiting.values())) > UNANSWERED_NS:
            self._waiting.popitem(last=False)
            self.meter.errors += 1
        if not self._is_foreign:
            self._doubt(now_ns)
        return self._ask_ns is not None and now_ns >= self._ask_ns

    def _doubt(self, now_ns: Ns) -> None:
        since_ns = self._since_ns if self._state_ns is None or not self._online else self._state_ns
        silent_ms = (now_ns - since_ns) // 1_000_000
        if self._online and silent_ms >= self._stale_ms:
            seconds = self._stale_ms / 1000
            self.link.change("uncertain", f"{self.device}: online, but no state for {seconds:g} s")
        elif not self._online and silent_ms >= SILENT_MS and (self._elsewhere or not self._heard):
            self._heard = True
            reason = self._absence()
            if not self.link.change("down", reason):
                self.link.explain(reason)

    def _absence(self) -> str:
        own = f"{self.device}: no connection message on {self.topic}/connection"
        if not self._elsewhere:
            return f"{own}: is the vehicle on, and may this gateway read the topic?"
        interface, spoken = self._elsewhere.rsplit("/", 3)[:2]
        expected, asked = self.topic.rsplit("/", 3)[:2]
        return (
            f"{self.device}: not online on {self.topic}, but it is on {self._elsewhere}: it speaks {spoken} under "
            f"{interface}, its profile says {asked} and its connection {expected}: set `interface`, or give it the "
            "profile of its version"
        )

    def _connection(self, state: decode.ConnectionState, now_ns: Ns) -> bool:
        self._states.forget()
        came = state == "ONLINE" and not self._online
        self._online, self._heard = state == "ONLINE", True
        self._is_foreign = False
        if not self._online:
            self._state_ns = self._ask_ns = None
            self.link.change("down", f"{self.device}: {_REASON[state]}")
        elif came:
            since_ns = now_ns if self._asked_ns is None else self._asked_ns + ASK_EVERY_NS
            self._ask_ns = max(now_ns, since_ns)
        return came and self._ask_ns == now_ns

    def _state(self, payload: bytes, now_ns: Ns) -> bool:
        report, values, message = self._states.read(payload)
        self._state_ns = now_ns
        self._is_foreign = False
        if values:
            self._sink.telemetry(self.device, values)
        if not self._online:
            return False
        came_up = self.link.change("up", f"{self.device}: online, states flow")
        if came_up or (report is not self._last and report != self._last):
            self._sink.post(Report(self.device, report))
        self._last = report
        if self._waiting:
            self._shown(report, now_ns)
        if (self._version.major, self._version.minor) >= (2, 1):
            self._maps = message.maps or ()
        if self._version.is_3:
            self._answers = self._leases.answers(message, now_ns)
        return bool(self._answers)

    def _shown(self, report: AgvReport, now_ns: Ns) -> None:
        """A state is the answer to the commands that it shows."""
        actions = {action.action_id for action in report.actions}
        for (name, update_id), sent_ns in list(self._waiting.items()):
            is_drive = update_id >= 0
            if (report.drive_id == name and report.update_id >= update_id) if is_drive else name in actions:
                del self._waiting[name, update_id]
                self.meter.answered(now_ns - sent_ns)

    def _refuse(self, kind: str, reason: str) -> None:
        """A vehicle of another version is not up: what it would be sent, it would misread."""
        self._is_foreign = self._heard = True
        if kind == "connection":
            self._online = False
        reason = f"{self.device}: {reason}"
        if not self.link.change("down", reason):
            self.link.explain(reason)

    def _take_factsheet(self, factsheet: AgvFactsheet, limits: Limits) -> None:
        self._limits = limits
        if factsheet != self._factsheet:
            self._factsheet = factsheet
            self._sink.post(Notice(self.device, factsheet))
