"""The service calls of one OPC UA session: cut to the server's limits, counted and timed, captured."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from drivers.capture import Capture
from drivers.meter import Meter

NODES_PER_CALL_MAX = 500
"""Our own limit where the server names none."""
WIRE_ERRORS = (OSError, TimeoutError, UaError)
"""What a call may end with, other than its answer."""
NAMESPACES = ua.NodeId(ua.Int32(2255), ua.Int16(0))
_LIMITS = {"read": 11705, "write": 11707, "translate": 11712, "items": 11714}
"""Nodes of the server's OperationLimits (OPC 10000-5, 6.3.11)."""
T = TypeVar("T")


class Calls:
    """One session's calls. All raise what asyncua raises: OSError, TimeoutError, UaError."""

    def __init__(self, client: Client, link: str, meter: Meter, capture: Capture | None) -> None:
        self.client = client
        self.capture = capture
        self.meter = meter
        self._link = link
        self._max = dict.fromkeys(_LIMITS, NODES_PER_CALL_MAX)

    async def learn_limits(self) -> None:
        """Ask how much the server takes in one call; a limit of 0 is none."""
        # One node a call: until the answer is there, nobody knows whether two are too many.
        for what, number in _LIMITS.items():
            (answer,) = await self.read([ua.NodeId(ua.Int32(number), ua.Int16(0))])
            self._max[what] = _limit(answer)

    async def namespaces(self) -> list[str]:
        """The server's namespace URIs in the order of their indices."""
        (answer,) = await self.read([NAMESPACES])
        value = None if answer.Value is None else answer.Value.Value
        uris = [str(uri) for uri in value] if isinstance(value, list) else []
        if self.capture is not None:
            self.note("in", "namespaces", value=uris)
        return uris

    async def read(self, ids: Sequence[ua.NodeId], attribute: AttributeIds = AttributeIds.Value) -> list[ua.DataValue]:
        """One answer a node, in order."""
        answers: list[ua.DataValue] = []
        for part in self._parts("read", ids):
            answer = await self._asked(self.client.uaclient.read_attributes(part, attribute))
            self._require(answer, part)
            answers.extend(answer)
        if self.capture is not None:
            for node, value in zip(ids, answers, strict=True):
                self.note_value("in", "read", node, value)
        return answers

    async def write(self, ids: Sequence[ua.NodeId], values: Sequence[ua.DataValue]) -> list[ua.StatusCode]:
        """Write in order; after a call in which something was refused none follows, so the list may be shorter."""
        statuses: list[ua.StatusCode] = []
        for part in self._parts("write", list(zip(ids, values, strict=True))):
            if self.capture is not None:
                for node, value in part:
                    self.note_value("out", "write", node, value)
            nodes = [node for node, _ in part]
            answer = await self._asked(self.client.uaclient.write_attributes(nodes, [value for _, value in part]))
            self._require(answer, part)
            if self.capture is not None:
                for node, status in zip(nodes, answer, strict=True):
                    self.note("in", "write", node=node.to_string(), status=status.value)
            statuses.extend(answer)
            if not all(status.is_good() for status in answer):
                self.meter.errors += 1
                break
        return statuses

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """TranslateBrowsePathsToNodeIds, one result a path."""
        results: list[ua.BrowsePathResult] = []
        for part in self._parts("translate", paths):
            answer = await self._asked(self.client.uaclient.translate_browsepaths_to_nodeids(part))
            self._require(answer, part)
            results.extend(answer)
        return results

    async def call(self, request: ua.CallMethodRequest) -> ua.CallMethodResult:
        """Call one method once."""
        if self.capture is not None:
            inputs = [_plain(argument.Value) for argument in request.InputArguments]
            self.note("out", "call", node=request.MethodId.to_string(), value=inputs)
        answer = await self._asked(self.client.uaclient.call([request]))
        self._require(answer, [request])
        result: ua.CallMethodResult = answer[0]
        if not result.StatusCode.is_good():
            self.meter.errors += 1
        if self.capture is not None:
            outputs = [_plain(argument.Value) for argument in result.OutputArguments or ()]
            status = result.StatusCode.value
            self.note("in", "call", node=request.MethodId.to_string(), value=outputs, status=status)
        return result

    async def create_items(
        self, subscription_id: int, requests: Sequence[ua.MonitoredItemCreateRequest]
    ) -> list[ua.MonitoredItemCreateResult]:
        """One result a request, in order."""
        results: list[ua.MonitoredItemCreateResult] = []
        for part in self._parts("items", requests):
            params = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription_id, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=part
            )
            answer = await self._asked(self.client.uaclient.create_monitored_items(params))
            self._require(answer, part)
            results.extend(answer)
        return results

    def note(self, way: str, event: str, **body: Any) -> None:
        if self.capture is not None:
            self.capture.note(self._link, "opcua", way, event=event, **body)

    def note_value(self, way: str, event: str, node: ua.NodeId, data: ua.DataValue) -> None:
        """Capture one node's value as JSON can say it: bytes as hex, times in ISO 8601."""
        value = data.Value or ua.Variant()
        kind = "" if value.VariantType is None else value.VariantType.name
        body: dict[str, Any] = {"node": node.to_string(), "value": _plain(value.Value), "type": kind}
        if data.StatusCode is not None:
            body["status"] = data.StatusCode.value
        self.note(way, event, **body)

    async def _asked(self, call: Awaitable[T]) -> T:
        self.meter.requests += 1
        begun_ns = time.monotonic_ns()
        try:
            answer = await call
        except WIRE_ERRORS as exc:
            self.meter.errors += 1
            if isinstance(exc, UaError):
                self.meter.answered(time.monotonic_ns() - begun_ns)
            raise
        self.meter.answered(time.monotonic_ns() - begun_ns)
        return answer

    def _parts(self, what: str, whole: Sequence[T]) -> list[list[T]]:
        size = self._max[what]
        return [list(whole[start : start + size]) for start in range(0, len(whole), size)]

    def _require(self, answer: Sequence[Any], part: Sequence[Any]) -> None:
        if len(answer) != len(part):
            self.meter.errors += 1
            raise UaError(f"{len(answer)} answers for {len(part)} nodes")


def _limit(answer: ua.DataValue) -> int:
    value = None if answer.Value is None else answer.Value.Value
    return min(value, NODES_PER_CALL_MAX) if isinstance(value, int) and value > 0 else NODES_PER_CALL_MAX


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else str(value)
