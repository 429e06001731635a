"""How a command reaches a PLC over OPC UA: one Write of the whole mailbox, or one Call of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from drivers.link import LinkLostError
from drivers.opcua.calls import WIRE_ERRORS
from drivers.opcua.nodes import Nodes, argument_variants, path_element
from drivers.opcua.values import VARIANT
from drivers.signals import Bound, WriteRefusedError
from gateway.contract import NotWritten, Scalar
from gateway.site import Profile

_OBJECT, _METHOD = "handshake.method.object", "handshake.method.method"
_HAS_PROPERTY = ua.NodeId(ua.Int32(46), ua.Int16(0))
_SURELY_REFUSED = frozenset(
    {
        StatusCodes.BadMethodInvalid, StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid,
        StatusCodes.BadArgumentsMissing, StatusCodes.BadTooManyArguments, StatusCodes.BadUserAccessDenied,
        StatusCodes.BadNotExecutable,
    }
)  # fmt: skip
"""What the server itself answers before the method has run (OPC 10000-4, 5.12.2)."""
Values = Sequence[tuple[Bound, Scalar]]


class Mailbox:
    """Writes one command and, where the profile wants it, reads it back. Never repeats anything."""

    def __init__(self, where: str, profile: Profile, signals: Mapping[str, Bound]) -> None:
        self._where = where
        self._verified = verified(profile, signals)

    async def prepare(self, nodes: Nodes) -> None:
        """Nothing to find out."""

    async def send(self, nodes: Nodes, values: Values) -> None:
        """Raises NotWritten."""
        try:
            refused = await nodes.write(values)
        except WriteRefusedError as denied:
            raise NotWritten(f"{self._where}: {denied}", certain=True) from None
        except WIRE_ERRORS as exc:
            raise NotWritten(f"{self._where}: the command's Write call failed: {exc!r}", certain=False) from exc
        if refused:
            signal, status = refused[0]
            raise NotWritten(f"{self._where}: writing {signal.name} ({signal.node}): {status.name}", certain=False)
        again = [(signal, value) for signal, value in values if signal.name in self._verified]
        if not again:
            return
        try:
            differing = await nodes.differing(again)
        except WIRE_ERRORS as exc:
            raise NotWritten(f"{self._where}: written, but not to be read back: {exc!r}", certain=False) from exc
        if differing:
            raise NotWritten(f"{self._where}: {overwritten(*differing[0])}", certain=False)


class Method:
    """Calls one method for each command: its arguments are the command's signals in the profile's order.

    `cmd_seq` comes last; a signal that the command does not use goes as 0 or "".
    """

    def __init__(self, where: str, profile: Profile, signals: Mapping[str, Bound]) -> None:
        spec = profile.handshake.method
        assert spec is not None, "the profile names a method"
        self._where = where
        self._spec = spec
        arguments = [s for s in signals.values() if is_argument(profile, s) and s.name != "cmd_seq"]
        self._arguments = [*arguments, *(s for s in signals.values() if s.name == "cmd_seq")]
        self._kinds = [VARIANT[s.type] for s in self._arguments]
        self._ids: dict[str, ua.NodeId] = {}

    async def prepare(self, nodes: Nodes) -> None:
        """Find the method, and what it says of its arguments. Raises LinkLostError where it takes another number."""
        self._ids = await nodes.locate({_OBJECT: self._spec.object, _METHOD: self._spec.method})
        element = path_element(_HAS_PROPERTY, 0, "InputArguments")
        path = ua.BrowsePath(self._ids[_METHOD], ua.RelativePath([element]))
        (result,) = await nodes.calls.translate([path])
        if not result.StatusCode.is_good() or not result.Targets:
            return
        target = result.Targets[0].TargetId
        node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
        (answer,) = await nodes.calls.read([node])
        declared = None if answer.Value is None else answer.Value.Value
        # asyncua has two classes Argument: what it reads is not what `ua.Argument` names.
        types = [each.DataType for each in declared if hasattr(each, "DataType")] if isinstance(declared, list) else []
        if not isinstance(declared, list) or len(types) != len(declared):
            return
        if len(types) != len(self._arguments):
            raise LinkLostError(
                f"{self._where}: the method {self._spec.method} takes {len(types)} arguments, the profile has "
                f"{len(self._arguments)} ({', '.join(s.name for s in self._arguments)}): check the profile"
            )
        self._kinds = [_kind_of(each, kind) for each, kind in zip(types, self._kinds, strict=True)]

    async def send(self, nodes: Nodes, values: Values) -> None:
        """Raises NotWritten."""
        by_name = {signal.name: value for signal, value in values}
        try:
            inputs = argument_variants(self._arguments, self._kinds, by_name)
        except WriteRefusedError as denied:
            raise NotWritten(f"{self._where}: {denied}", certain=True) from None
        request = ua.CallMethodRequest(self._ids[_OBJECT], self._ids[_METHOD], inputs)
        try:
            result = await nodes.calls.call(request)
        except WIRE_ERRORS as exc:
            raise NotWritten(f"{self._where}: the command's Call failed: {exc!r}", certain=False) from exc
        if not result.StatusCode.is_good():
            bad = [
                f", argument {signal.name} {status.name}"
                for signal, status in zip(self._arguments, result.InputArgumentResults or (), strict=False)
                if not status.is_good()
            ]
            reason = f"{self._where}: the method {self._spec.method} answered {result.StatusCode.name}{''.join(bad)}"
            raise NotWritten(reason, certain=result.StatusCode.value in _SURELY_REFUSED)


def is_argument(profile: Profile, signal: Bound) -> bool:
    """The signal goes as an argument of the profile's method and has no node of its own."""
    return profile.handshake.method is not None and signal.writable and signal.name.startswith("cmd_")


def verified(profile: Profile, signals: Mapping[str, Bound]) -> frozenset[str]:
    """Names of the signals that are read back after a write; never our heartbeat: its next beat is on its way."""
    shake = profile.handshake
    chosen = {s.name for s in profile.signals if s.verify or (shake.verify and s.name.startswith("cmd_"))}
    return frozenset(name for name in chosen - {"hb_gw"} if signals[name].writable)


def overwritten(signal: Bound, value: Scalar, found: object) -> str:
    return (
        f"{signal.name} ({signal.node}) holds {found!r} after {value!r} was written: "
        "does the PLC program overwrite it, or is it another node?"
    )


def _kind_of(node: ua.NodeId, otherwise: ua.VariantType) -> ua.VariantType:
    """A built-in data type's own variant; the profile's for a type that is derived from one."""
    if node.NamespaceIndex != 0 or not isinstance(node.Identifier, int) or not 1 <= node.Identifier <= 25:
        return otherwise
    return ua.VariantType(node.Identifier)
