"""One OPC UA session's view of a profile: NodeIds, variant types, chunked calls, checked values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from drivers.link import LinkLostError
from drivers.signals import BadValueError, Bound, require_writable
from gateway.contract import Scalar

NODES_PER_CALL_MAX = 500
"""Our own limit where the server names none."""
_MAX_PER_READ, _MAX_PER_WRITE, _MAX_MONITORED = 11705, 11707, 11714
_VARIANT = {
    "bool": ua.VariantType.Boolean, "uint16": ua.VariantType.UInt16, "int16": ua.VariantType.Int16,
    "uint32": ua.VariantType.UInt32, "int32": ua.VariantType.Int32, "float32": ua.VariantType.Float,
    "string": ua.VariantType.String,
}  # fmt: skip
_RANGE = {"uint16": (0, 2**16), "int16": (-(2**15), 2**15), "uint32": (0, 2**32), "int32": (-(2**31), 2**31)}


def scalar(signal: Bound, data: ua.DataValue) -> Scalar:
    """The signal's value from what the server answered. Raises BadValueError."""
    if data.StatusCode is not None and not data.StatusCode.is_good():
        raise BadValueError(signal.name, data.StatusCode.name, "the server gives no good value for this node")
    value = None if data.Value is None else data.Value.Value
    if signal.type == "bool":
        good = isinstance(value, bool)
    elif signal.type == "string":
        value = "" if value is None else value
        good = isinstance(value, str)
    elif signal.type == "float32":
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    else:
        low, end = _RANGE[signal.type]
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value < end
    if not good:
        raise BadValueError(signal.name, value, f"not a {signal.type}")
    result: Scalar = value
    return result if signal.scale == 1.0 or not isinstance(result, int | float) else result * signal.scale


class Nodes:
    """The nodes of one session; valid until it ends, since a PLC download moves namespace indices."""

    def __init__(
        self, client: Client, ids: Mapping[str, ua.NodeId], read_max: int, write_max: int, items_max: int
    ) -> None:
        self.ids = ids
        self.items_max = items_max
        self._client = client
        self._read_max = read_max
        self._write_max = write_max
        self._variants: dict[str, ua.VariantType] = {}

    @classmethod
    async def resolve(cls, client: Client, where: str, namespace: str, signals: Iterable[Bound]) -> Nodes:
        """Look up the namespace's index and the server's limits; LinkLostError without the namespace."""
        namespaces = await client.get_namespace_array()
        if namespace not in namespaces:
            raise LinkLostError(
                f"{where}: the server has no namespace {namespace!r}: is the right program loaded "
                "in the PLC, and does the profile name its namespace?"
            )
        index = namespaces.index(namespace)
        ids = {s.name: ua.NodeId.from_string(f"ns={index};{s.node}") for s in signals}
        limits = [
            ua.NodeId(ua.Int32(number), ua.Int16(0)) for number in (_MAX_PER_READ, _MAX_PER_WRITE, _MAX_MONITORED)
        ]
        answers = await client.uaclient.read_attributes(limits, AttributeIds.Value)
        return cls(client, ids, *(_limit(answer) for answer in answers))

    async def read(self, signals: Sequence[Bound]) -> list[ua.DataValue]:
        """The values of `signals`, in one Read call unless the server's limit is lower."""
        answers: list[ua.DataValue] = []
        for start in range(0, len(signals), self._read_max):
            part = [self.ids[s.name] for s in signals[start : start + self._read_max]]
            answer = await self._client.uaclient.read_attributes(part, AttributeIds.Value)
            if len(answer) != len(part):
                raise UaError(f"{len(answer)} values for {len(part)} nodes")
            answers.extend(answer)
        return answers

    async def learn_variants(self, signals: Sequence[Bound]) -> None:
        """Take each writable node's own variant type; the profile's where a node can't be read."""
        for signal, answer in zip(signals, await self.read(signals), strict=True):
            known = answer.Value is not None and answer.Value.VariantType is not ua.VariantType.Null
            self._variants[signal.name] = answer.Value.VariantType if known and answer.Value else _VARIANT[signal.type]

    async def write(self, values: Sequence[tuple[Bound, Scalar]]) -> list[tuple[Bound, ua.StatusCode]]:
        """Write in order, in one Write call unless the server's limit is lower; returns what was refused.

        Raises WriteRefusedError for a signal that the profile does not declare writable.
        """
        require_writable(signal for signal, _ in values)
        refused: list[tuple[Bound, ua.StatusCode]] = []
        for start in range(0, len(values), self._write_max):
            part = values[start : start + self._write_max]
            # Without status and timestamps: many PLCs answer BadWriteNotSupported to either.
            data = [ua.DataValue(self._variant(signal, value), None) for signal, value in part]
            answers = await self._client.uaclient.write_attributes([self.ids[s.name] for s, _ in part], data)
            refused.extend((s, answer) for (s, _), answer in zip(part, answers, strict=True) if not answer.is_good())
            if refused:
                break
        return refused

    def _variant(self, signal: Bound, value: Scalar) -> ua.Variant:
        if signal.scale != 1.0 and isinstance(value, int | float) and not isinstance(value, bool):
            value = value / signal.scale if signal.type == "float32" else round(value / signal.scale)
        return ua.Variant(value, self._variants.get(signal.name, _VARIANT[signal.type]))


def _limit(answer: ua.DataValue) -> int:
    value = None if answer.Value is None else answer.Value.Value
    return min(value, NODES_PER_CALL_MAX) if isinstance(value, int) and value > 0 else NODES_PER_CALL_MAX
