"""Sparkplug B payloads as bytes.

The message types are put together here from field numbers and types, as far as this gateway uses them. Source:
Sparkplug 3.0.0, chapter 6.4 "Sparkplug B MQTT Payload Definition" (protobuf schema, proto2). What we do not use
(templates, data sets, property sets, metadata) is left out; protobuf passes it over when it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from gateway.contract import Ns

INT64, DOUBLE, BOOLEAN, STRING = 4, 10, 11, 12
"""Sparkplug data types (chapter 6.4.16)."""
Value = bool | int | float | str
_Field = descriptor_pb2.FieldDescriptorProto
_PAYLOAD = (
    ("timestamp", 1, _Field.TYPE_UINT64),
    ("metrics", 2, _Field.TYPE_MESSAGE),
    ("seq", 3, _Field.TYPE_UINT64),
)
_METRIC = (
    ("name", 1, _Field.TYPE_STRING),
    ("alias", 2, _Field.TYPE_UINT64),
    ("timestamp", 3, _Field.TYPE_UINT64),
    ("datatype", 4, _Field.TYPE_UINT32),
    ("is_null", 7, _Field.TYPE_BOOL),
    ("int_value", 10, _Field.TYPE_UINT32),
    ("long_value", 11, _Field.TYPE_UINT64),
    ("float_value", 12, _Field.TYPE_FLOAT),
    ("double_value", 13, _Field.TYPE_DOUBLE),
    ("boolean_value", 14, _Field.TYPE_BOOL),
    ("string_value", 15, _Field.TYPE_STRING),
)


class Metric(msgspec.Struct, frozen=True):
    """One value. In a birth it has `name` and `datatype`; in data the alias alone, where it has one."""

    value: Value
    datatype: int
    name: str = ""
    alias: int | None = None

    def as_data(self) -> Metric:
        """The same for DATA messages (tck-id-payloads-alias-data-cmd-requirement)."""
        return self if self.alias is None else Metric(self.value, self.datatype, "", self.alias)


def datatype_of(value: Value) -> int:
    """Numbers are doubles: a live value may be whole at one moment and not at the next."""
    if isinstance(value, bool):
        return BOOLEAN
    return STRING if isinstance(value, str) else DOUBLE


def encode(metrics: Sequence[Metric], at_ns: Ns, seq: int | None, *, birth: bool) -> bytes:
    """A payload. `seq` None is for NDEATH alone, which has none."""
    at_ms = max(0, at_ns // 1_000_000)
    payload = _types["Payload"]()
    payload.timestamp = at_ms
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        put = payload.metrics.add()
        put.timestamp = at_ms
        if metric.name:
            put.name = metric.name
        if metric.alias is not None:
            put.alias = metric.alias
        if birth or metric.alias is None:
            put.datatype = metric.datatype
        _set_value(put, metric)
    data: bytes = payload.SerializeToString()
    return data


def asks_for_rebirth(data: bytes, name: str) -> bool:
    """Whether a command sets the metric `name` to true. What is no payload asks for nothing."""
    payload = _types["Payload"]()
    try:
        payload.ParseFromString(data)
    except DecodeError:
        return False
    return any(metric.name == name and metric.boolean_value for metric in payload.metrics)


def _set_value(put: Any, metric: Metric) -> None:
    value = metric.value
    match metric.datatype:
        case 11:  # BOOLEAN
            put.boolean_value = bool(value)
        case 12:  # STRING
            put.string_value = str(value)
        case 4:  # INT64: two's complement in an unsigned field
            put.long_value = int(value) & (2**64 - 1)
        case _:
            put.double_value = float(value)


def _made() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stellwerk/sparkplug_b.proto", package="stellwerk.sparkplug")
    file.syntax = "proto2"
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    for message, fields in ((payload, _PAYLOAD), (metric, _METRIC)):
        for name, number, kind in fields:
            field = message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
            if kind == _Field.TYPE_MESSAGE:
                field.label, field.type_name = _Field.LABEL_REPEATED, ".stellwerk.sparkplug.Payload.Metric"
    # A pool of its own: another schema in this process may have the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("stellwerk.sparkplug.Payload")
    return {"Payload": message_factory.GetMessageClass(found)}


_types = _made()
