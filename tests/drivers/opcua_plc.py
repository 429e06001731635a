"""A sorter or robot cell PLC on a real asyncua server, which can misbehave; and a wire to it that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError

from gateway.contract import Command
from gateway.devices.sorter import Assign
from gateway.site import RobotCellSpec, SorterSpec
from plc_simulators.servers.opcua import uncollected

LANES = 9
NAMESPACE = "urn:stellwerk:plc"
FAST = {"heartbeat_ms": 100, "stale_ms": 800}
VARIANT = {
    "bool": ua.VariantType.Boolean, "uint16": ua.VariantType.UInt16, "uint32": ua.VariantType.UInt32,
    "string": ua.VariantType.String, "int16": ua.VariantType.Int16, "int32": ua.VariantType.Int32,
    "uint64": ua.VariantType.UInt64, "int64": ua.VariantType.Int64, "float32": ua.VariantType.Float,
    "float64": ua.VariantType.Double,
}  # fmt: skip
EMPTY = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}
LIMIT_NODES = {"read": 11705, "write": 11707, "translate": 11712, "items": 11714}


class OpcuaPlc:
    """All nodes of a profile on a server; a heartbeat that can be switched; a record of what was written.

    `s=Status.HbPlc` has the path /PLC/Status/HbPlc, too. With `limit` no call may have more operations than that.
    With `clock` it tells the time, and takes a second to stop.
    """

    def __init__(
        self, profile: Any, url: str, namespaces_before: int = 0, limit: int = 0, *, clock: bool = False
    ) -> None:
        self.url = url
        self.alive = True
        self.written: list[tuple[str, Any]] = []
        self.nodes: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}
        self.kinds: dict[str, ua.VariantType] = {}
        """Nodes that hold another kind than the profile says."""
        self.most: dict[str, int] = {}
        """The most operations that came in one call, by service."""
        self.server: Any = None
        self.root: Any = None
        self.index = 0
        self._profile = profile
        self._namespaces_before = namespaces_before
        self._limit = limit
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        server = Server()
        server.disable_clock(not self._clock)
        with uncollected():
            await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for number in range(self._namespaces_before):
            await server.register_namespace(f"urn:other:{number}")
        self.index = await server.register_namespace(NAMESPACE)
        self.root = await server.nodes.objects.add_object(ua.NodeId("PLC", self.index), f"{self.index}:PLC")
        folders = {"": self.root}
        for signal, node in self._all():
            name = node.removeprefix("s=")
            *above, last = name.split(".")
            for depth in range(1, len(above) + 1):
                way = ".".join(above[:depth])
                if way not in folders:
                    parent = folders[".".join(above[: depth - 1])]
                    at = ua.NodeId(f"folder {way}", self.index)
                    folders[way] = await parent.add_object(at, f"{self.index}:{above[depth - 1]}")
            kind = self.kinds.get(name, VARIANT[signal.type])
            value = self.kept.get(node, "" if kind is ua.VariantType.String else EMPTY.get(signal.type, 0))
            made = await folders[".".join(above)].add_variable(
                ua.NodeId(name, self.index), f"{self.index}:{last}", ua.Variant(value, kind), kind
            )
            if signal.access == "write":
                await made.set_writable()
            self.nodes[name] = made
        if self._limit:
            await self._announce(server)
        self._enforce(server)
        await server.start()
        self.server = server
        for signal, node in self._all():
            if signal.access == "write":
                self.watch(node.removeprefix("s="))
        self._task = asyncio.create_task(self._beat())

    def _all(self) -> list[tuple[Any, str]]:
        flat = [(s, s.node) for s in self._profile.signals if s.node]
        for group in self._profile.groups:
            count = LANES if group.count == "lanes" else group.count
            flat += [(s, s.node.replace("{n}", str(n))) for n in range(1, count + 1) for s in group.signals]
        return flat

    async def _announce(self, server: Server) -> None:
        for number in LIMIT_NODES.values():
            value = ua.DataValue(ua.Variant(self._limit, ua.VariantType.UInt32))
            await server.iserver.aspace.write_attribute_value(ua.NodeId(number), ua.AttributeIds.Value, value)

    def _enforce(self, server: Server) -> None:
        """Count the operations of each call; beyond the limit the whole call is refused, as the standard says."""
        iserver = server.iserver
        for what, service, name, parts in (
            ("read", iserver.attribute_service, "read", lambda params: params.NodesToRead),
            ("write", iserver.attribute_service, "write", lambda params: params.NodesToWrite),
            ("translate", iserver.view_service, "translate_browsepaths_to_nodeids", lambda paths: paths),
            ("items", iserver.subscription_service, "create_monitored_items", lambda params: params.ItemsToCreate),
        ):
            setattr(service, name, self._limited(what, getattr(service, name), parts))

    def _limited(self, what: str, plain: Any, parts: Any) -> Any:
        def limited(params: Any, *args: Any, **kwargs: Any) -> Any:
            count = len(parts(params))
            self.most[what] = max(self.most.get(what, 0), count)
            if self._limit and count > self._limit:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            return plain(params, *args, **kwargs)

        return limited

    def watch(self, name: str) -> None:
        """Record what is written to this node."""

        async def note(_handle: int, value: ua.DataValue) -> None:
            self.written.append((name, value.Value.Value if value.Value else None))

        self.server.iserver.aspace.add_datachange_callback(self.nodes[name].nodeid, ua.AttributeIds.Value, note)

    async def put(self, name: str, value: Any, variant: ua.VariantType | None = None) -> None:
        kind = variant or (await self.nodes[name].read_data_type_as_variant_type())
        await self.nodes[name].write_value(ua.DataValue(ua.Variant(value, kind)))

    async def put_bad(self, name: str) -> None:
        bad = ua.DataValue(None, ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)))
        await self.server.iserver.aspace.write_attribute_value(self.nodes[name].nodeid, ua.AttributeIds.Value, bad)

    async def event(self, number: int, *, kind: int = 1, track: int = 5, barcodes: str = "A;B") -> None:
        """Write one ring entry and then announce it."""
        slot = (number - 1) % 32 + 1
        for field, value in (
            ("Seq", number), ("Type", kind), ("TrackId", track), ("Point", 1), ("Lane", 0), ("Result", 0),
            ("PlcMs", 1000 + number), ("Barcodes", barcodes),
        ):  # fmt: skip
            await self.put(f"Event.{slot}.{field}", value)
        await self.put("Event.Wr", number)

    @property
    def subscriptions(self) -> dict[int, Any]:
        """Those that the server holds now, by id."""
        held: dict[int, Any] = self.server.iserver.subscription_service.subscriptions
        return held

    @property
    def sessions(self) -> list[Any]:
        """Those of clients that the server holds now."""
        return list(self.server.iserver._external_sessions)

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.server.stop()

    async def _beat(self) -> None:
        value = 0
        while True:
            if self.alive:
                value = (value + 1) % 65536
                await self.put("Status.HbPlc", value)
            await asyncio.sleep(0.1)

    def wrote(self, prefix: str) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.written if name.startswith(prefix) and "HbGw" not in name]


class Wire:
    """A TCP proxy before the PLC: `cut` drops all connections and takes no new ones until `mend`."""

    def __init__(self, port: int) -> None:
        self.is_cut = False
        self.port = 0
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        for ends in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(ends[1])
            task = asyncio.create_task(self._pass(*ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()
        self._writers.discard(writer)


def sorter_spec(url: str, **connection: Any) -> SorterSpec:
    return SorterSpec.model_validate(
        {
            "id": "S1", "type": "sorter", "driver": "opcua", "profile": "stellwerk-sorter", "infeed": "IN",
            "connection": {"url": url, "security": "none", "timeout_ms": 1000, **connection}, "reject_lane": LANES,
            "lanes": [{"lane": n, "location": f"L{n}"} for n in range(1, LANES + 1)],
        }
    )  # fmt: skip


def cell_spec(url: str, security: Any = "none", timeout_ms: int = 1000) -> RobotCellSpec:
    return RobotCellSpec.model_validate(
        {
            "id": "RC1", "type": "robot_cell", "driver": "opcua", "profile": "stellwerk-robot-cell",
            "connection": {"url": url, "security": security, "timeout_ms": timeout_ms},
            "infeed": "A", "outfeed": "B", "skills": ["decant"],
        }
    )  # fmt: skip


def assign(seq: int = 7, deadline_ns: int = 10**18) -> Command[Any]:
    return Command(f"s{seq}", "S1", seq, 3, deadline_ns, Assign(5, (2, 8), 12_345))


def states(sink: Any, device: str = "S1") -> list[str]:
    """The link's states without a passing doubt: on a machine that is busy a heartbeat may come late."""
    found: list[str] = []
    for state in sink.links(device):
        if state != "uncertain" and found[-1:] != [state]:
            found.append(state)
    return found


@contextlib.asynccontextmanager
async def serving(plc: Any) -> Any:
    """A PLC (or wire) that is started and, whatever happens, stopped."""
    await plc.start()
    try:
        yield plc
    finally:
        await plc.stop()
