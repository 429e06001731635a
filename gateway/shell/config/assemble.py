"""Several files become one site: lists are joined, everything else may stand once. And parts are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.shell.config.problem import Problem
from gateway.shell.config.tree import Block, Leaf, Listing, Node, PathKey, place, problem_at

_JOINED_BLOCK = "map"
_JOINED_LISTS = frozenset({"locations", "devices", "profiles", "people", "channels"})
_JOINED_MAP_LISTS = frozenset({"nodes", "edges"})


def assemble(roots: Sequence[Node]) -> tuple[Block, list[Problem]]:
    """One root for all files. Problems: a key that may stand once stands twice, a file that is no mapping."""
    problems: list[Problem] = []
    blocks: list[Block] = []
    for root in roots:
        if isinstance(root, Block):
            blocks.append(root)
        elif not (isinstance(root, Leaf) and root.bad):
            hint = "a site file holds keys like 'devices:' with their values below"
            problems.append(problem_at(root, "the file must be a block of keys", hint))
    assert roots, "the caller has at least one file"
    site = Block(roots[0].source, roots[0].start, {})
    for block in blocks:
        _join(site, block, _JOINED_LISTS, problems)
    return site, problems


def _join(into: Block, block: Block, lists: frozenset[str], problems: list[Problem]) -> None:
    for name, (key, value) in block.entries.items():
        known = into.entries.get(name)
        if known is None:
            into.entries[name] = (key, _copy(value))
            continue
        first_key, first = known
        if name in lists and isinstance(first, Listing) and isinstance(value, Listing):
            first.items.extend(value.items)
        elif name in lists and _empty(value):
            continue
        elif name in lists and _empty(first):
            into.entries[name] = (key, _copy(value))
        elif name == _JOINED_BLOCK and isinstance(first, Block) and isinstance(value, Block):
            _join(first, value, _JOINED_MAP_LISTS, problems)
        else:
            message = f"'{name}' may stand once in a site; first at {place(first_key)}"
            problems.append(problem_at(key, message, "keep one of them"))


def _empty(node: Node) -> bool:
    return isinstance(node, Leaf) and node.value is None


def _copy(node: Node) -> Node:
    """A copy one level deep (two for the map's lists), so that joining changes no file's own tree."""
    if isinstance(node, Listing):
        return Listing(node.source, node.start, list(node.items))
    if isinstance(node, Block):
        entries = {
            name: (
                key,
                Listing(value.source, value.start, list(value.items)) if isinstance(value, Listing) else value,
            )
            for name, (key, value) in node.entries.items()
        }
        return Block(node.source, node.start, entries)
    return node


def unit_to_drop(path: tuple[PathKey, ...]) -> tuple[PathKey, ...]:
    """The smallest part around `path` that a site can do without: one device, one node, one destination, one key."""
    if path[:1] == ("map",):
        return path[:3] if path[1:2] in (("nodes",), ("edges",)) else path[:2]
    if path[:2] == ("sort_plan", "destinations") and len(path) > 2:
        return path[:3]
    return path[:2] if path[:1] and path[0] in _JOINED_LISTS else path[:1]


def without(root: Block, parts: Iterable[tuple[PathKey, ...]]) -> Block:
    """The tree without the given parts; what is not touched is shared with the original."""
    cut = _cut(root, [path for path in parts if path])
    assert isinstance(cut, Block)
    return cut


def _cut(node: Node, parts: Sequence[tuple[PathKey, ...]]) -> Node:
    gone = {path[0] for path in parts if len(path) == 1}
    below: dict[PathKey, list[tuple[PathKey, ...]]] = {}
    for path in parts:
        if len(path) > 1:
            below.setdefault(path[0], []).append(path[1:])
    if isinstance(node, Block):
        kept = {name: entry for name, entry in node.entries.items() if name not in gone}
        for name in below.keys() & kept.keys():
            key, value = kept[str(name)]
            kept[str(name)] = (key, _cut(value, below[name]))
        return Block(node.source, node.start, kept)
    if isinstance(node, Listing):
        items = [_cut(item, below[i]) if i in below else item for i, item in enumerate(node.items) if i not in gone]
        return Listing(node.source, node.start, items)
    return node
