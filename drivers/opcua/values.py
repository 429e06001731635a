"""Values between OPC UA and the kernel: what a node may show, and how a value goes into a node. Pure."""

from __future__ import annotations

import math
import struct
from typing import Any

from asyncua import ua

from drivers.signals import BadValueError, Bound, WriteRefusedError
from gateway.contract import Scalar

VARIANT = {
    "bool": ua.VariantType.Boolean, "uint16": ua.VariantType.UInt16, "int16": ua.VariantType.Int16,
    "uint32": ua.VariantType.UInt32, "int32": ua.VariantType.Int32, "uint64": ua.VariantType.UInt64,
    "int64": ua.VariantType.Int64, "float32": ua.VariantType.Float, "float64": ua.VariantType.Double,
    "string": ua.VariantType.String,
}  # fmt: skip
"""The variant of a profile's type, where the node's own is not known."""
_RANGE = {
    "uint16": (0, 2**16), "int16": (-(2**15), 2**15), "uint32": (0, 2**32), "int32": (-(2**31), 2**31),
    "uint64": (0, 2**64), "int64": (-(2**63), 2**63),
}  # fmt: skip
_RANGE_OF_VARIANT = {
    ua.VariantType.SByte: (-(2**7), 2**7), ua.VariantType.Byte: (0, 2**8),
    **{VARIANT[name]: limits for name, limits in _RANGE.items()},
}  # fmt: skip
_FLOATS = frozenset({"float32", "float64"})
_NOT_GOOD = 0xC000_0000
"""The severity bits of a status code (OPC 10000-4, 7.39)."""
_NO_VALUE = ua.Variant()


def plain(data: ua.DataValue) -> tuple[Any, int]:
    """What a DataValue holds, and its status code."""
    status = data.StatusCode
    return (data.Value or _NO_VALUE).Value, 0 if status is None else status.value


def scalar(signal: Bound, data: ua.DataValue) -> Scalar:
    """The signal's value from what the server answered. Raises BadValueError."""
    return checked(signal, *plain(data))


def checked(signal: Bound, value: Any, status: int) -> Scalar:
    """The same from a bare value and status code."""
    if status & _NOT_GOOD:
        name = ua.StatusCode(ua.UInt32(status)).name
        raise BadValueError(signal.name, name, "the server gives no good value for this node")
    kind = type(value)
    limits = _RANGE.get(signal.type)
    if limits is not None:
        good = kind is int and limits[0] <= value < limits[1]
    elif signal.type == "bool":
        good = kind is bool
    elif signal.type == "string":
        value = "" if value is None else value
        good = isinstance(value, str)
    else:
        good = signal.type in _FLOATS and (kind is float or kind is int) and math.isfinite(value)
    if not good:
        raise BadValueError(signal.name, value, f"not a {signal.type}")
    result: Scalar = value
    return result if signal.scale == 1.0 or not isinstance(result, int | float) else result * signal.scale


def variant(signal: Bound, value: Scalar, kind: ua.VariantType) -> ua.Variant:
    """`value` as a node of this kind takes it. Raises WriteRefusedError where it can't hold it."""
    if signal.scale != 1.0 and isinstance(value, int | float) and not isinstance(value, bool):
        value = value / signal.scale if signal.type in _FLOATS else round(value / signal.scale)
    limits = _RANGE_OF_VARIANT.get(kind)
    if limits is not None:
        fits = isinstance(value, int) and limits[0] <= value < limits[1]
        value = int(value) if fits and isinstance(value, int) else value
    elif kind in (ua.VariantType.Float, ua.VariantType.Double):
        fits = isinstance(value, int | float)
    elif kind is ua.VariantType.Boolean:
        fits = isinstance(value, bool)
    else:
        fits = kind is ua.VariantType.String and isinstance(value, str)
    if not fits:
        raise WriteRefusedError(
            f"signal {signal.name} = {value!r} does not fit the {kind.name} of its node {signal.node}: "
            "check the profile's type against the PLC; nothing was written"
        )
    return ua.Variant(value, kind)


def is_same(written: ua.Variant, found: ua.DataValue) -> bool:
    """A node holds what was written, as far as its type can hold it."""
    value = None if found.Value is None else found.Value.Value
    if written.VariantType is ua.VariantType.Float and isinstance(value, int | float):
        return bool(value == struct.unpack("<f", struct.pack("<f", written.Value))[0])
    return bool(value == written.Value)
