"""The fleet of `bench.vda5050`: so many vehicles on one MQTT connection, from bytes made beforehand.

    python -m bench.vda5050_fleet --port N --interface NAME --vehicles N --per-s N --share S

Prints READY when all vehicles are online and then sends states until stdin closes. Each state has about 2 kB. After a
first line on stdin a share S of them is a change: the vehicle says that it has reached node N<time>, the time in
nanoseconds of the system's monotonic clock, at which the message was handed to the socket. The last line is how many
states were sent and how many were changes. MQTT 3.1.1 by hand, QoS 0: a client library would be the bottleneck.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import socket
import sys
import time
from dataclasses import dataclass

MANUFACTURER = "bench"
STATE_BYTES = 2_000
TICK_S = 0.01
_CONNECT, _CONNACK, _PUBLISH, _DISCONNECT = 0x10, 0x20, 0x30, 0xE0
_RETAIN = 0x01
_NODE = "N" + "0" * 19
_HEADER = "000000000"


@dataclass(frozen=True, slots=True)
class Template:
    """A whole PUBLISH packet in three pieces: `head`, header number, `middle`, node, `tail`."""

    head: bytes
    middle: bytes
    tail: bytes

    def packet(self, number: int, node_ns: int) -> bytes:
        return b"%b%09d%bN%019d%b" % (self.head, number, self.middle, node_ns, self.tail)


def field(data: bytes) -> bytes:
    """A string as MQTT writes it."""
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, body: bytes) -> bytes:
    """A packet with its remaining length (MQTT 3.1.1, 2.2.3)."""
    size, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        size.append(low | (0x80 if left else 0))
        if not left:
            return bytes((kind,)) + bytes(size) + body


def publish(topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    return packet(_PUBLISH | (_RETAIN if retain else 0), field(topic.encode()) + payload)


def _header(serial: str) -> dict[str, object]:
    return {
        "headerId": 1, "timestamp": "2026-01-01T00:00:00.000Z", "version": "2.1.0", "manufacturer": MANUFACTURER,
        "serialNumber": serial,
    }  # fmt: skip


def template(interface: str, serial: str) -> Template:
    """The state of a vehicle in the midst of a long drive, filled up to STATE_BYTES."""
    state = {
        **_header(serial), "orderId": "D1-1", "orderUpdateId": 3, "lastNodeId": _NODE, "lastNodeSequenceId": 4,
        "nodeStates": [
            {"nodeId": f"N{n}", "sequenceId": 2 * n, "released": n < 6,
             "nodePosition": {"x": n * 2.5, "y": 7.25, "mapId": "hall"}} for n in range(3, 9)
        ],
        "edgeStates": [{"edgeId": f"E{n}", "sequenceId": 2 * n + 1, "released": n < 6} for n in range(3, 8)],
        "agvPosition": {"positionInitialized": True, "x": 12.5, "y": 7.25, "theta": 0.5, "mapId": "hall"},
        "velocity": {"vx": 1.25, "vy": 0.0, "omega": 0.0}, "loads": [], "driving": True, "distanceSinceLastNode": 1.5,
        "actionStates": [
            {"actionId": "D1-1.2.pick", "actionType": "pick", "actionStatus": "FINISHED"},
            {"actionId": "D1-1.2.drop", "actionType": "drop", "actionStatus": "WAITING"},
        ],
        "batteryState": {"batteryCharge": 82.5, "charging": False}, "operatingMode": "AUTOMATIC", "errors": [],
        "information": [], "safetyState": {"eStop": "NONE", "fieldViolation": False},
    }  # fmt: skip
    text = json.dumps(state, separators=(",", ":"))
    filling = "x" * max(0, STATE_BYTES - len(text) - 60)
    state["information"] = [{"infoType": "filling", "infoDescription": filling, "infoLevel": "DEBUG"}]
    text = json.dumps(state, separators=(",", ":")).replace('"headerId":1,', f'"headerId":1{_HEADER},', 1)
    whole = publish(f"{interface}/v2/{MANUFACTURER}/{serial}/state", text.encode())
    head, rest = whole.split(_HEADER.encode(), 1)
    middle, tail = rest.split(_NODE.encode(), 1)
    return Template(head, middle, tail)


class Fleet:
    """All vehicles behind one socket."""

    def __init__(self, port: int, interface: str, vehicles: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = field(b"MQTT") + bytes((4, 2, 0, 0)) + field(b"bench-fleet")
        self._socket.sendall(packet(_CONNECT, hello))
        answer = self._socket.recv(4)
        if answer[:1] != bytes((_CONNACK,)) or answer[3:4] != b"\0":
            raise SystemExit(f"the broker refused the fleet: {answer.hex(' ')}")
        self._interface = interface
        self._serials = [f"v{n}" for n in range(vehicles)]
        self._templates = [template(interface, serial) for serial in self._serials]
        self.sent = self.changes = 0

    def sign_on(self) -> None:
        """A retained ONLINE and a first state of each."""
        for serial, each in zip(self._serials, self._templates, strict=True):
            online = json.dumps({**_header(serial), "connectionState": "ONLINE"}).encode()
            self._socket.sendall(publish(self._topic(serial), online, retain=True) + each.packet(0, 0))

    def sign_off(self) -> None:
        """Leave nothing retained on the broker."""
        for serial in self._serials:
            self._socket.sendall(publish(self._topic(serial), b"", retain=True))
        self._socket.sendall(packet(_DISCONNECT, b""))
        self._socket.close()

    def _topic(self, serial: str) -> str:
        return f"{self._interface}/v2/{MANUFACTURER}/{serial}/connection"

    def drive(self, per_s: float, share: float) -> None:
        """Send states at an even rate until stdin closes; changes among them from its first line on."""
        rng, said, in_earnest = random.Random(1), [0] * len(self._templates), False
        due_s, at, owed = time.monotonic(), 0, 0.0
        while True:
            if select.select([sys.stdin], [], [], 0)[0]:
                if not sys.stdin.readline():
                    return
                in_earnest = True
            owed += per_s * TICK_S
            batch = []
            while owed >= 1:
                owed -= 1
                at = (at + 1) % len(said)
                if in_earnest and rng.random() < share:
                    said[at] = time.monotonic_ns()
                    self.changes += 1
                batch.append(self._templates[at].packet(self.sent % 10**9, said[at]))
                self.sent += 1
            self._socket.sendall(b"".join(batch))
            due_s += TICK_S
            time.sleep(max(0.0, due_s - time.monotonic()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interface", required=True)
    parser.add_argument("--vehicles", type=int, required=True)
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--share", type=float, required=True)
    options = parser.parse_args()
    fleet = Fleet(options.port, options.interface, options.vehicles)
    fleet.sign_on()
    print("READY", flush=True)
    fleet.drive(options.per_s, options.share)
    fleet.sign_off()
    print(fleet.sent, fleet.changes, flush=True)


if __name__ == "__main__":
    main()
