"""A recorded OPC UA server: its namespaces and nodes, and their values changing as they did.

It begins with the first value of each node that the recording shows and waits for a client's subscription; from then
on values change with the recorded spacing. Nodes that were written then can be written now, and keep what is
written. Left out, because a capture does not hold them: the tree between the nodes, methods, data types other than
the built-in ones (their text is played back in their place), and the server's own nodes (namespace 0).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from plc_simulators.playback.record import CaptureError, Record
from plc_simulators.servers.ports import HOST
from plc_simulators.servers.tasks import end

_NUMBERS = frozenset(
    {
        ua.VariantType.SByte, ua.VariantType.Byte, ua.VariantType.Int16, ua.VariantType.UInt16, ua.VariantType.Int32,
        ua.VariantType.UInt32, ua.VariantType.Int64, ua.VariantType.UInt64, ua.VariantType.StatusCode,
    }
)  # fmt: skip
_FLOATS = frozenset({ua.VariantType.Float, ua.VariantType.Double})

Key = tuple[str, str]
"""A node: its namespace's URI and its identifier with the letter of its kind, as in `s=Status.HbPlc`."""


@dataclass(slots=True)
class Story:
    """One node's values in time: (ns, value, status); `is_watched` if any of them came by subscription."""

    type: ua.VariantType = ua.VariantType.Null
    is_written: bool = False
    is_watched: bool = False
    values: list[tuple[int, Any, int]] = field(default_factory=list)


class OpcuaPlayback:
    """Serves one recorded link on 127.0.0.1, plain; `port` 0 takes a free one and is known after `start`.

    Spacing is the recorded one divided by `speed`. Raises CaptureError for a recording without a node.
    """

    def __init__(self, records: Sequence[Record], *, port: int = 0, speed: float = 1.0) -> None:
        self.port = port
        self.changed = 0
        """Values that have been changed so far."""
        self._speed = speed
        self._uris, self._stories = _stories(records)
        if not self._stories:
            raise CaptureError("no node's value came in over this link: there is nothing to play back")
        watched = [record.at_ns for record in records if record.event == "change"]
        self._begin_ns = watched[0] if watched else records[0].at_ns
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._ids: dict[Key, ua.NodeId] = {}
        self._is_watched = asyncio.Event()

    @property
    def address(self) -> str:
        return f"opc.tcp://{HOST}:{self.port}/"

    async def start(self) -> None:
        """Build the nodes and listen. Raises OSError."""
        server = Server()
        server.allow_remote_admin(False)
        server.disable_clock(True)
        await server.init()
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self._build(server)
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._subscribed)
        server.set_endpoint(f"opc.tcp://{HOST}:{self.port}/")
        await server.start()
        self._server = server
        assert server.bserver is not None, "an OPC UA server without its socket server"
        self.port = server.bserver.port
        for endpoint in server.iserver.endpoints:
            endpoint.EndpointUrl = self.address
        self._task = asyncio.create_task(self._play(server), name="playback")

    async def finished(self) -> None:
        """Wait until the last value has been set; that is never, while nobody subscribes."""
        assert self._task is not None, "the playback has not been started"
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Cut every connection and end."""
        if self._task is not None:
            await end(self._task)
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def __aenter__(self) -> OpcuaPlayback:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _build(self, server: Server) -> None:
        if len(self._uris) > 1:
            await server.set_application_uri(self._uris[1])  # namespace 1 is the server's own
        for uri in self._uris[2:]:
            await server.register_namespace(uri)
        index = await server.register_namespace("urn:stellwerk:playback")
        folder = await server.nodes.objects.add_object(index, "Recorded")
        for key, story in self._stories.items():
            uri, identifier = key
            space = await server.register_namespace(uri)
            node_id = ua.NodeId.from_string(f"ns={space};{identifier}")
            kind = ua.VariantType.Int32 if story.type is ua.VariantType.Null else story.type
            node = await folder.add_variable(node_id, ua.QualifiedName(identifier, space), _zero(kind))
            if story.is_written:
                await node.set_writable()
            self._ids[key] = node.nodeid
            if story.values:
                await self._set(server, key, *story.values[0][1:])

    def _subscribed(self, *_: object) -> None:
        self._is_watched.set()

    async def _play(self, server: Server) -> None:
        await self._is_watched.wait()
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for at_ns, key, value, status in sorted(self._changes(), key=lambda change: change[0]):
            due_s = begun_s + (at_ns - self._begin_ns) / 1e9 / self._speed
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._set(server, key, value, status)
            self.changed += 1

    def _changes(self) -> Iterator[tuple[int, Key, Any, int]]:
        """What is to be set when, beyond each node's first value."""
        for key, story in self._stories.items():
            if story.is_written:
                continue  # whoever writes it now decides what it holds
            for (before_ns, *before), (at_ns, *now) in zip(story.values, story.values[1:], strict=False):
                if before == now:
                    continue
                # One that was only read has changed at some time since the reading before: in the middle of it.
                yield at_ns if story.is_watched else (before_ns + at_ns) // 2, key, now[0], now[1]

    async def _set(self, server: Server, key: Key, value: Any, status: int) -> None:
        kind = self._stories[key].type
        variant = ua.Variant() if value is None and kind not in _FLOATS else ua.Variant(_value(value, kind), kind)
        data = ua.DataValue(variant, ua.StatusCode(ua.UInt32(status)), ua.DateTime.now(UTC))
        await server.iserver.aspace.write_attribute_value(self._ids[key], AttributeIds.Value, data)


def _stories(records: Sequence[Record]) -> tuple[list[str], dict[Key, Story]]:
    """The server's namespaces as it told them first, and each node's story."""
    first: list[str] = []
    uris: list[str] = []
    stories: dict[Key, Story] = {}
    for record in records:
        if record.event == "namespaces" and isinstance(record.value, list):
            uris = [str(uri) for uri in record.value]
            first = first or uris
        if record.event not in ("read", "change", "write") or not record.node:
            continue
        key = _key(record.node, uris)
        if key is None:
            continue
        story = stories.setdefault(key, Story())
        story.is_written = story.is_written or record.event == "write"
        if story.type is ua.VariantType.Null and record.type:
            story.type = getattr(ua.VariantType, record.type, ua.VariantType.String)
            if not _is_plain(story.type):
                story.type = ua.VariantType.String
        if record.way == "in" and record.event != "write":
            story.is_watched = story.is_watched or record.event == "change"
            story.values.append((record.at_ns, record.value, record.status or 0))
    return first, stories


def _key(node: str, uris: Sequence[str]) -> Key | None:
    """Whose node it is; None for the server's own, and CaptureError for what is no node."""
    try:
        node_id = ua.NodeId.from_string(node)
    except UaError as problem:
        raise CaptureError(f"{node!r} is no node: {problem}") from None
    index = int(node_id.NamespaceIndex)
    if index == 0:
        return None
    uri = uris[index] if index < len(uris) else f"urn:stellwerk:playback:{index}"
    return uri, ua.NodeId(node_id.Identifier, ua.Int16(0), node_id.NodeIdType).to_string()


def _is_plain(kind: ua.VariantType) -> bool:
    return kind in _NUMBERS | _FLOATS or kind in (
        ua.VariantType.Boolean,
        ua.VariantType.String,
        ua.VariantType.DateTime,
        ua.VariantType.ByteString,
    )


def _zero(kind: ua.VariantType) -> ua.Variant:
    """A value of this kind, so that the node has its data type before its first value is set."""
    zero: dict[ua.VariantType, Any] = {
        ua.VariantType.Boolean: False,
        ua.VariantType.String: "",
        ua.VariantType.ByteString: b"",
        ua.VariantType.DateTime: datetime(1601, 1, 1, tzinfo=UTC),
        ua.VariantType.Float: 0.0,
        ua.VariantType.Double: 0.0,
    }
    return ua.Variant(zero.get(kind, 0), kind)


def _value(value: Any, kind: ua.VariantType) -> Any:
    """A value out of JSON as the variant wants it: hex as bytes, ISO 8601 as a time, null as not a number."""
    if isinstance(value, list):
        return [_value(each, kind) for each in value]
    if kind in _FLOATS:
        return math.nan if value is None else float(value)
    if kind is ua.VariantType.ByteString and isinstance(value, str):
        return bytes.fromhex(value)
    if kind is ua.VariantType.DateTime and isinstance(value, str):
        return datetime.fromisoformat(value)
    return str(value) if kind is ua.VariantType.String and value is not None else value
