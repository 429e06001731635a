"""A YAML file as a tree of nodes that remember where they stand.

Composed from libyaml's events without recursion, so that no file can exhaust the stack; limits on depth and on
the number of nodes, aliases counted at every use, hold before anything is built from the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.shell.config.problem import Problem
from gateway.shell.config.scalar import Value
from gateway.shell.config.source import Source

PathKey = str | int


class Mark(Protocol):
    """A place in a text, counted from 0."""

    line: int
    column: int


@dataclass(slots=True, eq=False)
class Leaf:
    """A scalar. `text` as written, `value` as meant. `bad`: a problem has been reported; say no more of it."""

    source: Source
    start: Mark
    end: Mark
    text: str
    value: Value
    bad: bool = False

    @property
    def nodes(self) -> int:
        return 1

    @property
    def height(self) -> int:
        return 0


@dataclass(slots=True, eq=False)
class Listing:
    """A list. `nodes`: itself and all below, aliases expanded; `height`: levels below."""

    source: Source
    start: Mark
    items: list[Node]
    nodes: int = 1
    height: int = 1


@dataclass(slots=True, eq=False)
class Block:
    """A mapping: key text → the key's own leaf and the value's node."""

    source: Source
    start: Mark
    entries: dict[str, tuple[Leaf, Node]]
    nodes: int = 1
    height: int = 1


Node = Leaf | Listing | Block

# One name in Python, another one in YAML: people may write either.
_OTHER_NAME = {
    "from": ("from_node", "from_location"), "to": ("to_node", "to_location"),
    "from_node": ("from",), "from_location": ("from",), "to_node": ("to",), "to_location": ("to",),
}  # fmt: skip


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars. Recursion is bounded by the limit on depth."""
    if type(node) is Leaf:
        return node.value
    if type(node) is Block:
        return {key: value.value if type(value) is Leaf else plain(value) for key, (_, value) in node.entries.items()}
    assert type(node) is Listing
    return [item.value if type(item) is Leaf else plain(item) for item in node.items]


def child(node: Node, key: PathKey) -> Node | None:
    """The node under `key` (of a mapping) or at that index (of a list), if there is one."""
    if isinstance(node, Block):
        for name in (str(key), *_OTHER_NAME.get(str(key), ())):
            if name in node.entries:
                return node.entries[name][1]
    elif isinstance(node, Listing) and isinstance(key, int) and 0 <= key < len(node.items):
        return node.items[key]
    return None


def walk(root: Node, path: tuple[PathKey, ...]) -> tuple[Node, int]:
    """The deepest node that exists on the way along `path`, and how many steps lead to it."""
    node = root
    for taken, key in enumerate(path):
        below = child(node, key)
        if below is None:
            return node, taken
        node = below
    return node, len(path)


def key_leaf(root: Node, path: tuple[PathKey, ...]) -> Leaf | None:
    """The leaf of the last key of `path`, where that is a key of a mapping."""
    parent, taken = walk(root, path[:-1])
    if taken == len(path) - 1 and isinstance(parent, Block) and str(path[-1]) in parent.entries:
        return parent.entries[str(path[-1])][0]
    return None


def text_at(root: Node, *path: PathKey) -> str | None:
    """The text of the scalar at `path`, filled in from the environment, or None."""
    node, taken = walk(root, path)
    if taken < len(path) or not isinstance(node, Leaf) or node.value is None:
        return None
    return node.value if isinstance(node.value, str) else node.text


def head(node: Node) -> Leaf | None:
    """What to point at for a whole node: a scalar itself, a mapping's first key; a list has none."""
    if isinstance(node, Leaf):
        return node
    if isinstance(node, Block) and node.entries:
        return next(iter(node.entries.values()))[0]
    return None


def problem_at(node: Node, message: str, hint: str = "") -> Problem:
    """A problem that points at `node`: at all of a scalar, at the first key of a mapping, at a list's start."""
    leaf = head(node)
    start = leaf.start if leaf is not None else node.start
    source = leaf.source if leaf is not None else node.source
    end_column = start.column + 1
    if leaf is not None and leaf.end.line == start.line:
        end_column = leaf.end.column
    elif leaf is not None:
        end_column = len(source.line(start.line + 1).rstrip())
    end_column = max(end_column, start.column + 1)
    return Problem(source.name, start.line + 1, start.column + 1, end_column + 1, message, hint)


def place(node: Node) -> str:
    """`file:line:column` of a node, for a message about another one."""
    return problem_at(node, "").where()
