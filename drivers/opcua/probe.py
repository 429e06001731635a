"""A look at an OPC UA server from outside: what it offers, who it is, and whether the profile fits. Only reads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client

from drivers.link import LinkLostError
from drivers.meter import Meter
from drivers.opcua.calls import WIRE_ERRORS, Calls
from drivers.opcua.commands import is_argument
from drivers.opcua.nodes import Nodes
from drivers.opcua.security import UntrustedServerError, secure
from drivers.opcua.session import client_for, close, explain
from drivers.opcua.values import scalar
from drivers.probe import SAMPLES, Check, Examination, Found, Reading, quantiles_ms, reach
from drivers.signals import BadValueError, Bound, bind
from gateway.site import OpcuaSecurity, Profile, RobotCellSpec, SorterSpec

PORT = 4840
NODES_MAX = 2_000
DEPTH_MAX = 8
CLOCK_MS_MAX = 1_000
"""A clock may be off by so much before somebody is told: events carry the PLC's own milliseconds."""
_BUILD_INFO = {"maker": 2263, "product": 2261, "version": 2264, "build": 2265}
_CURRENT_TIME = 2258
_OBJECTS, _SERVER = 85, 2253
_GONE = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid", "BadAttributeIdInvalid"})
_SHOWN = ua.NodeClass.Object | ua.NodeClass.Variable | ua.NodeClass.Method
Spec = SorterSpec | RobotCellSpec


async def examine(spec: Spec, profile: Profile) -> Examination:
    """All steps up to the first that is bad and leaves nothing to look at; the session is closed at the end."""
    look = _Look(spec, profile)
    split = urlsplit(spec.connection.url)
    look.checks += await reach(split.hostname or "", split.port or PORT, spec.connection.timeout_ms / 1000)
    if not any(check.verdict == "bad" for check in look.checks):
        client = client_for(spec.connection)
        try:
            if await look.meet(client):
                await look.read(client)
        finally:
            await close(client)
    return Examination(
        spec.id, "opcua", spec.connection.url, tuple(look.checks), tuple(look.readings),
        latency_p50_ms=look.p50_ms, latency_p99_ms=look.p99_ms, clock_offset_ms=look.offset_ms,
    )  # fmt: skip


async def browse(spec: Spec, profile: Profile) -> list[Found]:
    """The server's nodes below Objects: at most 2,000, eight deep, nearest first; its own Server object is not opened.

    Raises LinkLostError with what to do.
    """
    where = f"{spec.id} {spec.connection.url}"
    client = client_for(spec.connection)
    try:
        await _connect(client, where, spec)
        calls = _calls(client, spec)
        await calls.learn_limits()
        namespaces = await calls.namespaces()
        own = namespaces.index(profile.namespace) if profile.namespace in namespaces else -1
        return await _tree(client, calls, namespaces, own)
    except WIRE_ERRORS as exc:
        raise LinkLostError(explain(where, exc, spec.connection.timeout_ms)) from None
    finally:
        await close(client)


class _Look:
    """One examination as it goes on."""

    def __init__(self, spec: Spec, profile: Profile) -> None:
        self.checks: list[Check] = []
        self.readings: list[Reading] = []
        self.p50_ms: float | None = None
        self.p99_ms: float | None = None
        self.offset_ms: float | None = None
        self._spec = spec
        self._profile = profile
        self._where = f"{spec.id} {spec.connection.url}"
        self._uri = ""
        lanes = max(lane.lane for lane in spec.lanes) if isinstance(spec, SorterSpec) else 0
        self._signals = [s for s in bind(profile, lanes=lanes).values() if not is_argument(profile, s)]

    async def meet(self, client: Client) -> bool:
        """Endpoints, security and the session; False where there is none."""
        try:
            endpoints = await client.connect_and_get_server_endpoints()
        except WIRE_ERRORS as exc:
            text = explain(self._where, exc, self._spec.connection.timeout_ms)
            self.checks.append(Check("handshake", "bad", text, "is it an OPC UA server that listens there?"))
            return False
        offered = sorted({_offer(endpoint) for endpoint in endpoints})
        self._uri = next((str(e.Server.ApplicationUri) for e in endpoints if e.Server.ApplicationUri), "")
        self.checks.append(Check("handshake", "good", f"it offers {', '.join(offered) or 'no endpoint'}"))
        wanted = self._wanted()
        try:
            await _connect(client, self._where, self._spec)
        except UntrustedServerError as stranger:
            self.checks.append(Check("security", "bad", stranger.found, stranger.next_step))
            return False
        except (LinkLostError, *WIRE_ERRORS) as exc:
            lost = isinstance(exc, LinkLostError)
            text = str(exc) if lost else explain(self._where, exc, self._spec.connection.timeout_ms)
            step = "see `security` of the device" if wanted in offered else f"choose one that it offers, not {wanted}"
            self.checks.append(Check("security", "bad", text, step))
            return False
        self.checks.append(self._judge(offered))
        return True

    async def read(self, client: Client) -> None:
        """Who it is, every signal once, how fast it answers, and what its clock says."""
        calls = _calls(client, self._spec)
        for step, part in (
            ("identity", self._identity), ("signals", self._read_signals), ("latency", self._time),
            ("clock", self._clock),
        ):  # fmt: skip
            try:
                self.checks.append(await part(calls))
            except WIRE_ERRORS as exc:
                text = explain(self._where, exc, self._spec.connection.timeout_ms)
                self.checks.append(Check(step, "bad", text, "try again; if it stays so, see the server's own log"))  # type: ignore[arg-type]
                return

    def _wanted(self) -> str:
        security = self._spec.connection.security
        if not isinstance(security, OpcuaSecurity):
            return "None"
        return f"{security.policy} {'Sign' if security.mode == 'sign' else 'SignAndEncrypt'}"

    def _judge(self, offered: Sequence[str]) -> Check:
        if isinstance(self._spec.connection.security, OpcuaSecurity):
            return Check("security", "good", f"the session is {self._wanted()}, the server's certificate is trusted")
        safe = [offer for offer in offered if offer != "None"]
        step = (
            f"set `security` of the device: the server offers {', '.join(safe)}"
            if safe
            else "switch encryption on in the server, or keep the network between to yourself"
        )
        return Check("security", "doubtful", "nothing is encrypted, and the server does not prove who it is", step)

    async def _identity(self, calls: Calls) -> Check:
        answers = await calls.read([ua.NodeId(ua.Int32(number), ua.Int16(0)) for number in _BUILD_INFO.values()])
        said = [f"{what} {_value(answer)}" for what, answer in zip(_BUILD_INFO, answers, strict=True) if _value(answer)]
        return Check("identity", "good", f"{self._uri or 'no application URI'}: {', '.join(said) or 'says no more'}")

    async def _read_signals(self, calls: Calls) -> Check:
        try:
            nodes = await Nodes.resolve(calls, self._where, self._profile.namespace, self._signals)
        except LinkLostError as lost:
            return Check("signals", "bad", str(lost), "compare the profile with what stellwerk browse shows")
        answers = await nodes.read(self._signals)
        self.readings = [_reading(signal, answer) for signal, answer in zip(self._signals, answers, strict=True)]
        bad = [reading for reading in self.readings if reading.problem]
        if bad:
            text = f"{len(bad)} of {len(self.readings)} signals are bad, {bad[0].signal} for one: {bad[0].problem}"
            return Check("signals", "bad", text, "compare the profile with what stellwerk browse shows")
        return Check("signals", "good", f"all {len(self.readings)} signals of the profile were read")

    async def _time(self, calls: Calls) -> Check:
        samples = []
        for _ in range(SAMPLES):
            begun_ns = time.monotonic_ns()
            await calls.read([ua.NodeId(ua.Int32(_CURRENT_TIME), ua.Int16(0))])
            samples.append(time.monotonic_ns() - begun_ns)
        self.p50_ms, self.p99_ms = quantiles_ms(samples)
        return Check("latency", "good", f"{SAMPLES} reads: p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms")

    async def _clock(self, calls: Calls) -> Check:
        begun, begun_ns = datetime.now(UTC), time.monotonic_ns()
        (answer,) = await calls.read([ua.NodeId(ua.Int32(_CURRENT_TIME), ua.Int16(0))])
        round_trip_ms = (time.monotonic_ns() - begun_ns) / 1e6
        there = _value(answer)
        if not isinstance(there, datetime):
            return Check("clock", "doubtful", "the server does not say what time it is", "see its ServerStatus")
        there = there if there.tzinfo is not None else there.replace(tzinfo=UTC)
        self.offset_ms = round((there - begun).total_seconds() * 1000 - round_trip_ms / 2, 1)
        text = f"its clock is {self.offset_ms:+.0f} ms from ours"
        if abs(self.offset_ms) <= CLOCK_MS_MAX:
            return Check("clock", "good", text)
        return Check("clock", "doubtful", text, "let both take their time from the same server (NTP)")


async def _connect(client: Client, where: str, spec: Spec) -> None:
    if isinstance(spec.connection.security, OpcuaSecurity):
        await secure(client, where, spec.connection.security)
    await client.connect()


def _calls(client: Client, spec: Spec) -> Calls:
    return Calls(client, "", Meter(spec.id, "opcua", time.monotonic_ns), None)


def _offer(endpoint: ua.EndpointDescription) -> str:
    policy = str(endpoint.SecurityPolicyUri).rpartition("#")[2]
    return "None" if policy == "None" else f"{policy} {endpoint.SecurityMode.name}"


def _value(answer: ua.DataValue) -> Any:
    return None if answer.Value is None else answer.Value.Value


def _reading(signal: Bound, answer: ua.DataValue) -> Reading:
    try:
        return Reading(signal.name, signal.node, scalar(signal, answer))
    except BadValueError as bad:
        # What is only written need not be readable; but it has to be there.
        excused = signal.writable and answer.StatusCode is not None and answer.StatusCode.is_bad()
        excused = excused and bad.value not in _GONE
        return Reading(signal.name, signal.node, None, "" if excused else f"{bad.value}: {bad.problem}")


# --- browse ---


async def _tree(client: Client, calls: Calls, namespaces: Sequence[str], own: int) -> list[Found]:
    root = ua.NodeId(ua.Int32(_OBJECTS), ua.Int16(0))
    children: dict[ua.NodeId, list[ua.ReferenceDescription]] = {}
    seen = {root}
    waiting: deque[tuple[int, ua.NodeId]] = deque([(0, root)])
    is_cut = False
    while waiting and not is_cut:
        depth, node = waiting.popleft()
        found = await client.get_node(node).get_children_descriptions(nodeclassmask=_SHOWN)  # type: ignore[arg-type]
        for reference in found:
            if len(seen) > NODES_MAX:
                is_cut = True
                break
            target = _target(reference)
            if target in seen:
                continue
            seen.add(target)
            children.setdefault(node, []).append(reference)
            if depth + 1 < DEPTH_MAX and target != ua.NodeId(ua.Int32(_SERVER), ua.Int16(0)):
                waiting.append((depth + 1, target))
    variables = [_target(r) for kept in children.values() for r in kept if r.NodeClass == ua.NodeClass.Variable]
    values = dict(zip(variables, await calls.read(variables), strict=True))
    shown = _shown(children, root, 0, values, namespaces, own)
    if is_cut:
        shown.append(Found(0, f"there are more than {NODES_MAX} nodes; those farther away are not shown", "limit"))
    return shown


def _shown(
    children: dict[ua.NodeId, list[ua.ReferenceDescription]],
    node: ua.NodeId,
    depth: int,
    values: dict[ua.NodeId, ua.DataValue],
    namespaces: Sequence[str],
    own: int,
) -> list[Found]:
    shown = []
    for reference in children.get(node, ()):
        target = _target(reference)
        index = reference.BrowseName.NamespaceIndex
        uri = "" if index == own or index >= len(namespaces) else f"[{namespaces[index]}]"
        kind, value = reference.NodeClass.name.lower(), ""
        answer = values.get(target)
        if answer is not None:
            good = answer.StatusCode is None or answer.StatusCode.is_good()
            variant = answer.Value.VariantType if answer.Value is not None else None
            kind = f"variable {variant.name}" if good and variant is not None else "variable"
            value = str(_value(answer))[:120] if good else str(answer.StatusCode and answer.StatusCode.name)
        shown.append(Found(depth, f"{uri}{reference.BrowseName.Name} ({target.to_string()})", kind, value))
        shown += _shown(children, target, depth + 1, values, namespaces, own)
    return shown


def _target(reference: ua.ReferenceDescription) -> ua.NodeId:
    node = reference.NodeId
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
