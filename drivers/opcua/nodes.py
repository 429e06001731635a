"""One OPC UA session's view of a profile: which node is which signal, and what kind of value each takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asyncua import ua

from drivers.link import LinkLostError
from drivers.opcua.calls import Calls
from drivers.opcua.values import VARIANT, is_same, variant
from drivers.signals import Bound, require_writable
from gateway.contract import Scalar
from gateway.site.node_path import is_path, path_steps

_OBJECTS = ua.NodeId(ua.Int32(85), ua.Int16(0))
_HIERARCHICAL = ua.NodeId(ua.Int32(33), ua.Int16(0))
_WHOLE = 2**32 - 1
"""RemainingPathIndex of a path that the server has gone to its end."""
_EMPTY: Mapping[str, Scalar] = {"string": "", "bool": False}
_NUMBER_KINDS = frozenset(kind for name, kind in VARIANT.items() if name not in ("bool", "string")) | {
    ua.VariantType.SByte, ua.VariantType.Byte,
}  # fmt: skip


class Nodes:
    """The nodes of one session; valid until it ends, since a PLC download moves namespace indices."""

    def __init__(self, calls: Calls, where: str, namespaces: Sequence[str], namespace: str) -> None:
        self.calls = calls
        self.ids: dict[str, ua.NodeId] = {}
        self._where = where
        self._namespaces = namespaces
        self._namespace = namespace
        self._variants: dict[str, ua.VariantType] = {}

    @classmethod
    async def resolve(cls, calls: Calls, where: str, namespace: str, signals: Iterable[Bound]) -> Nodes:
        """Look up the server's limits, the namespace's index and every signal's node that the profile names.

        Raises LinkLostError without the namespace, and for a browse path that leads nowhere.
        """
        await calls.learn_limits()
        nodes = cls(calls, where, await calls.namespaces(), namespace)
        nodes.ids = await nodes.locate({s.name: s.node for s in signals if s.node})
        return nodes

    async def locate(self, written: Mapping[str, str]) -> dict[str, ua.NodeId]:
        """NodeIds by name, of identifiers and browse paths. Raises LinkLostError with name and path."""
        own = self._index(self._namespace, "its namespace")
        ids = {}
        paths: dict[str, ua.BrowsePath] = {}
        for name, node in written.items():
            if is_path(node):
                paths[name] = self._path(name, node)
            else:
                ids[name] = ua.NodeId.from_string(f"ns={own};{node}")
        for name, result in zip(paths, await self.calls.translate(list(paths.values())), strict=True):
            ids[name] = self._target(name, written[name], result)
        return ids

    async def read(self, signals: Sequence[Bound]) -> list[ua.DataValue]:
        """The values of `signals`, in one Read call unless the server's limit is lower."""
        return await self.calls.read([self.ids[s.name] for s in signals])

    async def learn_variants(self, signals: Sequence[Bound]) -> None:
        """Take each writable node's own variant type; the profile's where a node can't be read.

        Raises LinkLostError where the node's is of another kind than the profile's: a text, a number, a bool.
        """
        for signal, answer in zip(signals, await self.read(signals), strict=True):
            kind = None if answer.Value is None else answer.Value.VariantType
            if kind is None or kind is ua.VariantType.Null:
                continue
            if not _is_akin(VARIANT[signal.type], kind):
                raise LinkLostError(
                    f"{self._where}: signal {signal.name} is a {signal.type} in the profile, its node {signal.node} "
                    f"holds a {kind.name}: check the profile against the PLC"
                )
            self._variants[signal.name] = kind

    async def write(self, values: Sequence[tuple[Bound, Scalar]]) -> list[tuple[Bound, ua.StatusCode]]:
        """Write in order, in one Write call unless the server's limit is lower; returns what was refused.

        Raises WriteRefusedError for a signal that the profile does not declare writable or that its node can't hold.
        """
        require_writable(signal for signal, _ in values)
        # Without status and timestamps: many PLCs answer BadWriteNotSupported to either.
        data = [ua.DataValue(self._variant(signal, value), None) for signal, value in values]
        statuses = await self.calls.write([self.ids[signal.name] for signal, _ in values], data)
        return [(s, status) for (s, _), status in zip(values, statuses, strict=False) if not status.is_good()]

    async def differing(self, values: Sequence[tuple[Bound, Scalar]]) -> list[tuple[Bound, Scalar, object]]:
        """Read back what was written: signal, written, found of each that differs."""
        bad: list[tuple[Bound, Scalar, object]] = []
        answers = await self.read([signal for signal, _ in values])
        for (signal, value), answer in zip(values, answers, strict=True):
            found: object = None if answer.Value is None else answer.Value.Value
            status = answer.StatusCode
            if status is not None and not status.is_good():
                bad.append((signal, value, status.name))
            elif not is_same(self._variant(signal, value), answer):
                bad.append((signal, value, found))
        return bad

    def _variant(self, signal: Bound, value: Scalar) -> ua.Variant:
        return variant(signal, value, self._variants.get(signal.name, VARIANT[signal.type]))

    def _index(self, uri: str, whose: str) -> int:
        if uri not in self._namespaces:
            raise LinkLostError(
                f"{self._where}: the server has no namespace {uri!r}: is the right program loaded "
                f"in the PLC, and does the profile name {whose}?"
            )
        return self._namespaces.index(uri)

    def _path(self, name: str, node: str) -> ua.BrowsePath:
        elements = []
        for uri, text in path_steps(node):
            index = self._index(self._namespace if uri is None else uri, f"that of {name} ({node})")
            elements.append(path_element(_HIERARCHICAL, index, text))
        return ua.BrowsePath(_OBJECTS, ua.RelativePath(elements))

    def _target(self, name: str, node: str, result: ua.BrowsePathResult) -> ua.NodeId:
        targets = [t for t in result.Targets or () if t.RemainingPathIndex == _WHOLE]
        found = {ua.NodeId(t.TargetId.Identifier, t.TargetId.NamespaceIndex, t.TargetId.NodeIdType) for t in targets}
        if not result.StatusCode.is_good() or not found:
            raise LinkLostError(
                f"{self._where}: the path {node} of {name} leads nowhere ({result.StatusCode.name}): is the right "
                "program loaded in the PLC, and do the names and their namespaces fit? see stellwerk browse"
            )
        if len(found) > 1:
            raise LinkLostError(
                f"{self._where}: the path {node} of {name} leads to {len(found)} nodes: write the node's identifier"
            )
        return found.pop()


def path_element(reference: ua.NodeId, namespace: int, name: str) -> ua.RelativePathElement:
    """One step of a browse path, forward along `reference` or what is derived from it."""
    return ua.RelativePathElement(
        ReferenceTypeId=reference,
        IsInverse=False,  # type: ignore[arg-type]  # asyncua's own name for bool
        IncludeSubtypes=True,  # type: ignore[arg-type]
        TargetName=ua.QualifiedName(name, ua.UInt16(namespace)),
    )


def argument_variants(
    names: Sequence[Bound], kinds: Sequence[ua.VariantType], values: Mapping[str, Scalar]
) -> list[ua.Variant]:
    """A method's input arguments: each signal's value in the argument's own type, 0 or "" where there is none."""
    arguments = []
    for signal, kind in zip(names, kinds, strict=True):
        require_writable([signal])
        arguments.append(variant(signal, values.get(signal.name, _EMPTY.get(signal.type, 0)), kind))
    return arguments


def _is_akin(profile: ua.VariantType, node: ua.VariantType) -> bool:
    """A value of the profile's type may be written to a node of this kind, if it is not too large for it."""
    return node in _NUMBER_KINDS if profile in _NUMBER_KINDS else node is profile
