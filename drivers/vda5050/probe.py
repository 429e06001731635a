"""A look at one vehicle through its broker: it reads what is there, and says nothing to the vehicle.

All that it publishes goes to a topic of its own, for timing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiomqtt
import msgspec

from drivers.link import LinkLostError
from drivers.probe import SAMPLES, Check, Examination, Found, Reading, quantiles_ms, reach
from drivers.vda5050 import broker, decode
from drivers.vda5050 import messages as wire
from drivers.vda5050.version import Version
from gateway.contract import Scalar
from gateway.devices.agv import AgvReport
from gateway.site import AgvSpec, Profile
from gateway.site.mqtt import MqttTls

OFFSET_MS_MAX = 1_000
"""Leases and logs of both sides can't be compared beyond it."""
TOPICS_MAX = 2_000
"""Topics that `browse` lists; the rest is counted."""
_INCOMING_MAX = 10_000
_RETAINED_S = 1.0
"""Retained messages come right after subscribing."""
_NEXT = "correct it in `connection` of the device or at the broker, then look again"


@dataclass(slots=True)
class _Seen:
    """What came from one vehicle, as it came; `at` is when the state was received."""

    connection: bytes | None = None
    factsheet: bytes | None = None
    state: bytes | None = None
    at: datetime | None = None
    elsewhere: set[str] = field(default_factory=set)


async def examine(spec: AgvSpec, profile: Profile, *, wait_s: float = 5.0) -> Examination:
    """Everything from the broker's name to the vehicle's clock; ends where a step makes the next ones pointless.

    Waits for a state as long as `wait_s`; the standard asks for one every 30 s at least.
    """
    version, where = Version.of(profile.vda_version), spec.connection
    checks = await reach(where.host, where.port, broker.TIMEOUT_S)
    if checks[-1].verdict == "bad":
        return _examination(spec, checks)
    try:
        async with _visit(spec) as client:
            checks += [Check("handshake", "good", "the broker took the MQTT connection and the login"), _security(spec)]
            seen = await _watch(client, spec, version, wait_s)
            checks += _identity(spec, version, seen)
            readings, signals = _signals(spec, version, seen, wait_s)
            latency, p50_ms, p99_ms = await _latency(client)
    except (aiomqtt.MqttError, OSError, LinkLostError) as failed:
        came_in = any(check.step == "handshake" for check in checks)
        checks.append(Check("signals" if came_in else "handshake", "bad", broker.why_refused(where, failed), _NEXT))
        return _examination(spec, checks)
    clock, offset_ms = _clock(seen)
    checks += [signals, latency, clock]
    return _examination(spec, checks, readings, p50_ms, p99_ms, offset_ms)


async def browse(spec: AgvSpec, profile: Profile, *, wait_s: float = 5.0) -> list[Found]:
    """Every topic with a message within `wait_s` under the interface's root: messages, and bytes of the last one.

    Raises LinkLostError where the broker can't be reached.
    """
    sizes: dict[str, tuple[int, int]] = {}
    left_out = 0
    try:
        async with _visit(spec) as client:
            await client.subscribe(f"{spec.connection.interface}/#", qos=0)
            end_s = time.monotonic() + wait_s
            while (message := await _next(client, end_s)) is not None:
                topic = message.topic.value
                if topic in sizes or len(sizes) < TOPICS_MAX:
                    sizes[topic] = (sizes.get(topic, (0, 0))[0] + 1, len(message.payload))
                else:
                    left_out += 1
    except (aiomqtt.MqttError, OSError, LinkLostError) as failed:
        raise LinkLostError(f"{spec.id}: {broker.why_refused(spec.connection, failed)}") from None
    own = _root(spec, Version.of(profile.vda_version))
    found: list[Found] = []
    last = ""
    for topic in sorted(sizes):
        root, _, kind = topic.rpartition("/")
        if root != last:
            last = root
            found.append(Found(0, root, spec.id if root == own else "vehicle"))
        count, size = sizes[topic]
        found.append(Found(1, kind, "topic", f"{size} bytes, {count} message{'s' if count > 1 else ''}"))
    if left_out:
        found.append(Found(0, f"messages on more than {TOPICS_MAX} topics", "left out", str(left_out)))
    return found


def _root(spec: AgvSpec, version: Version) -> str:
    where = spec.connection
    return f"{where.interface}/v{version.major}/{where.manufacturer}/{where.serial}"


@contextlib.asynccontextmanager
async def _visit(spec: AgvSpec) -> AsyncIterator[aiomqtt.Client]:
    identifier = f"stellwerk-probe-{uuid.uuid4().hex[:12]}"
    client = broker.client(spec.connection, identifier, max_queued_incoming_messages=_INCOMING_MAX)
    await broker.enter(client)
    try:
        yield client
    finally:
        await broker.leave(client)


async def _next(client: aiomqtt.Client, end_s: float) -> aiomqtt.Message | None:
    """The next message; None where none comes until `end_s` of the monotonic clock."""
    try:
        async with asyncio.timeout(max(0.0, end_s - time.monotonic())):
            return await anext(client.messages)
    except TimeoutError:
        return None


async def _watch(client: aiomqtt.Client, spec: AgvSpec, version: Version, wait_s: float) -> _Seen:
    root, seen = _root(spec, version), _Seen()
    name = f"{spec.connection.manufacturer}/{spec.connection.serial}"
    anywhere = "+/" * (root.count("/") - 1) + f"{name}/connection"
    await client.subscribe([(f"{root}/{kind}", 0) for kind in ("connection", "factsheet", "state")])
    await client.subscribe(anywhere, qos=0)
    begun_s = time.monotonic()
    while (message := await _next(client, begun_s + wait_s)) is not None:
        found, _, kind = message.topic.value.rpartition("/")
        if found != root:
            seen.elsewhere.add(found[:100])
        elif kind == "connection":
            seen.connection = bytes(message.payload)
        elif kind == "factsheet":
            seen.factsheet = bytes(message.payload)
        elif not message.retain:
            # A retained state is of unknown age: neither its values nor its time say anything.
            seen.state, seen.at = bytes(message.payload), datetime.now(UTC)
        if seen.state and seen.connection and seen.factsheet:
            break
        if seen.state and time.monotonic() - begun_s > _RETAINED_S:
            break
    return seen


def _security(spec: AgvSpec) -> Check:
    where = spec.connection
    login = f"login as {where.user}" if where.user else "no login"
    if isinstance(where.tls, MqttTls):
        if where.user or where.tls.cert_file:
            own = " with a certificate of our own" if where.tls.cert_file else ""
            return Check("security", "good", f"TLS{own}, {login}")
        step = "give the gateway a name of its own at the broker: `user` and `password_file`, or `tls.cert_file`"
        return Check("security", "doubtful", f"TLS, {login}", step)
    if where.tls == "waived":
        return Check("security", "doubtful", f"not encrypted (waived), {login}", "give the broker TLS, and set `tls`")
    return Check("security", "good", f"not encrypted, {login}; it does not leave this machine")


def _identity(spec: AgvSpec, version: Version, seen: _Seen) -> list[Check]:
    root = _root(spec, version)
    others = ", ".join(sorted(seen.elsewhere)[:4])
    if seen.connection is None:
        text = f"no retained message on {root}/connection" + (f", but one on {others}" if others else "")
        step = "set `interface`, or the profile of its version" if others else "is the vehicle set to this broker?"
        return [Check("identity", "bad", text, step)]
    try:
        word = decode.connection(seen.connection, spec.connection.serial, version)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        return [Check("identity", "bad", f"its connection message: {bad}", "see the text")]
    if word != "ONLINE":
        return [Check("identity", "bad", f"{root} is {word}", "switch it on, or look at its radio link")]
    if seen.factsheet is None:
        text = f"{root} is ONLINE; no retained factsheet, so neither series nor limits are known"
        return [Check("identity", "doubtful", text, "the gateway asks for it when it comes up; look again then")]
    try:
        sheet, _ = decode.factsheet(seen.factsheet, spec.connection.serial, version)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        return [Check("identity", "bad", f"its factsheet: {bad}", "correct it at the vehicle")]
    return [Check("identity", "good", f"{root} is ONLINE, series {sheet.series}, VDA 5050 {version.text}")]


def _signals(spec: AgvSpec, version: Version, seen: _Seen, wait_s: float) -> tuple[tuple[Reading, ...], Check]:
    if seen.state is None:
        step = "a state comes every 30 s at least: look for longer, or move the vehicle"
        return (), Check("signals", "doubtful", f"no state within {wait_s:g} s", step)
    topic = f"{_root(spec, version)}/state"
    try:
        report, values, message = decode.States(spec.connection.serial, version).read(seen.state)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        return (), Check(
            "signals", "bad", f"its state: {bad}", "correct it at the vehicle, or the profile's vda_version"
        )
    readings = tuple(_readings(topic, report, values, message))
    return readings, Check("signals", "good", f"one state of {len(seen.state)} bytes with {len(readings)} values")


def _readings(topic: str, report: AgvReport, values: dict[str, Scalar], message: wire.State) -> list[Reading]:
    lost = "" if report.localised else "the vehicle does not know where it is"
    shown: list[tuple[str, Scalar, str]] = [
        ("operating_mode", report.operating_mode, ""),
        ("battery_percent", report.battery_permille / 10, ""),
        ("charging", report.charging, ""),
        ("last_node", report.last_node, ""),
        ("localised", report.localised, lost),
        *((name, value, "") for name, value in sorted(values.items())),
        ("drive", report.drive_id, ""),
        ("driving", report.driving, ""),
        ("paused", report.paused, ""),
        ("e_stop", report.e_stop, ""),
        ("errors", "; ".join(f"{e.error_type} ({e.level})" for e in report.errors), ""),
    ]
    if message.maps:
        shown.append(("maps", ", ".join(f"{m.map_id} ({m.map_status.lower()})" for m in message.maps), ""))
    return [Reading(name, topic, value, problem) for name, value, problem in shown]


async def _latency(client: aiomqtt.Client) -> tuple[Check, float | None, float | None]:
    """Round trips to the broker and back, on a topic of our own."""
    topic = f"stellwerk/probe/{uuid.uuid4().hex[:12]}"
    await client.subscribe(topic, qos=0)
    samples: list[int] = []
    for number in range(SAMPLES):
        payload = f"{topic} {number}".encode()
        begun_ns = time.perf_counter_ns()
        await client.publish(topic, payload, qos=0)
        end_s = time.monotonic() + _RETAINED_S
        # States that come meanwhile are of no interest any more.
        while (message := await _next(client, end_s)) is not None and bytes(message.payload) != payload:
            pass
        if message is None:
            break
        samples.append(time.perf_counter_ns() - begun_ns)
    if len(samples) < SAMPLES:
        text = f"the broker does not give back what is published on {topic}"
        step = "allow the gateway to read and write stellwerk/probe/#, if you want the figure"
        return Check("latency", "skipped", text, step), None, None
    p50_ms, p99_ms = quantiles_ms(samples)
    text = f"to the broker and back p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms"
    return Check("latency", "good", text), p50_ms, p99_ms


def _clock(seen: _Seen) -> tuple[Check, float | None]:
    if seen.state is None or seen.at is None:
        return Check("clock", "skipped", "no state to compare clocks by"), None
    try:
        shown = datetime.fromisoformat(msgspec.json.decode(seen.state)["timestamp"])
        offset_ms = (shown - seen.at).total_seconds() * 1000
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, ValueError, TypeError, OverflowError) as bad:
        step = "the vehicle writes no time in ISO 8601 with its zone: correct it there"
        return Check("clock", "doubtful", f"the state's timestamp can't be read ({bad})", step), None
    text = f"the vehicle's clock is {abs(offset_ms):.0f} ms {'ahead' if offset_ms > 0 else 'behind'}, the way included"
    if abs(offset_ms) > OFFSET_MS_MAX:
        return Check("clock", "doubtful", text, "give both machines the same time server"), offset_ms
    return Check("clock", "good", text), offset_ms


def _examination(
    spec: AgvSpec,
    checks: Sequence[Check],
    readings: tuple[Reading, ...] = (),
    p50_ms: float | None = None,
    p99_ms: float | None = None,
    offset_ms: float | None = None,
) -> Examination:
    address = f"{spec.connection.host}:{spec.connection.port}"
    return Examination(spec.id, "vda5050", address, tuple(checks), readings, p50_ms, p99_ms, offset_ms)
