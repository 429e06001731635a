"""From a YAML text to a tree: anchors, merge keys, tags and `${…}` are settled here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.shell.config.problem import Problem
from gateway.shell.config.scalar import BadReference, Value, resolve, substitute
from gateway.shell.config.source import Source
from gateway.shell.config.tree import Block, Leaf, Listing, Node, place, problem_at
from gateway.shell.config.wording import syntax

DEPTH_MAX = 64
NODES_MAX = 2_000_000
"""Of all files together, every alias counted as often as it is used."""
MERGED_MAX = 1_000_000
"""Keys brought in by `<<` in all files together."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (float, int), "bool": (bool,), "null": (type(None),),
}  # fmt: skip


@dataclass(slots=True)
class Budget:
    """What is left of the limits; shared by all files of one load."""

    nodes: int = NODES_MAX
    merged: int = MERGED_MAX


class _Stop(Exception):
    """The rest of this file cannot be read; the problem has been reported."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    node: Block | Listing
    anchor: str | None
    key: Leaf | None = None
    merges: list[tuple[Leaf, Node]] = field(default_factory=list)


class Composer:
    """Reads one file. `problems` holds what it found; `root` stays None where the text is not YAML at all."""

    def __init__(self, source: Source, env: Mapping[str, str], budget: Budget) -> None:
        self.source = source
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._env = env
        self._budget = budget
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def run(self) -> Node | None:
        """The tree, or None with the problem that kept it from being read. Never raises."""
        try:
            for event in yaml.parse(self.source.text, Loader=_LOADER):
                if type(event) is yaml.ScalarEvent:  # nine of ten are
                    self._scalar(event)
                else:
                    self._take(event)
        except yaml.YAMLError as error:
            self.problems.append(syntax(error, self.source))
            self.root = None
        except _Stop:
            self.root = None
        else:
            if self.root is None or (isinstance(self.root, Leaf) and self.root.value is None and not self.root.bad):
                hint = "write something into it or remove it"
                self.problems.append(Problem(self.source.name, 1, 1, 2, "the file is empty", hint))
                self.root = None
        return self.root

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.MappingStartEvent:
            self._begin(event, Block(self.source, event.start_mark, {}), "map")
        elif kind is yaml.SequenceStartEvent:
            self._begin(event, Listing(self.source, event.start_mark, []), "seq")
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._end()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._stop(event.start_mark, "a second YAML document begins here", "put it into a file of its own")

    def _scalar(self, event: Any) -> None:
        text = event.value
        value: Value = text
        bad = False
        if event.tag is not None and event.tag != "!":
            value, bad = self._tagged(event)
        elif event.implicit[0]:
            value = resolve(text)
        leaf = Leaf(self.source, event.start_mark, event.end_mark, text, value, bad)
        if type(value) is str and "${" in value:
            self._fill_in(leaf, value, plain=event.implicit[0])
        if event.anchor is not None:
            self._anchors[event.anchor] = leaf
        if self._open:
            top = self._open[-1]
            if top.key is None and type(top.node) is Block:
                top.key = leaf
                return
        self._put(leaf)

    def _tagged(self, event: Any) -> tuple[Value, bool]:
        """The value of a scalar with an explicit tag; True where a problem was reported."""
        name = event.tag.removeprefix(_CORE)
        if name == "str":
            return str(event.value), False
        if event.tag.startswith(_CORE) and name in _KINDS:
            value = resolve(event.value)
            exact = type(value) in _KINDS[name]
            if exact:
                return value, False
            message, hint = f"'{event.value[:60]}' is no {name}", "leave the tag out"
        else:
            message, hint = f"the YAML tag '{_shown(event.tag)}' is not used here", "leave the tag out"
        self._problem(event.start_mark, event.end_mark, message, hint)
        return None, True

    def _fill_in(self, leaf: Leaf, text: str, *, plain: bool) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.node, Block) and parent.key is None:
            return  # keys are names, they are never filled in
        try:
            filled = substitute(text, self._env)
        except BadReference as error:
            self.problems.append(problem_at(leaf, str(error), error.hint))
            leaf.value, leaf.bad = None, True
        else:
            leaf.value = resolve(filled) if plain else filled

    def _begin(self, event: Any, node: Block | Listing, core: str) -> None:
        if event.tag is not None and event.tag not in ("!", _CORE + core):
            hint = "leave the tag out"
            self._stop(event.start_mark, f"the YAML tag '{_shown(event.tag)}' is not used here", hint)
        if len(self._open) >= DEPTH_MAX:
            self._too_deep(event.start_mark)
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.node, Block) and done.merges:
            self._merge(done.node, done.merges)
        if done.node.height > DEPTH_MAX:
            self._too_deep(done.node.start)
        if done.anchor is not None:
            self._anchors[done.anchor] = done.node
        self._put(done.node)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            hint = "an anchor stands before its aliases, and not around them"
            self._stop(event.start_mark, f"no anchor '&{event.anchor}' ends before this alias", hint)
        else:
            self._put(node)

    def _put(self, node: Node) -> None:
        """Place a finished node into the collection that is open, or make it the root."""
        if not self._open:
            self.root = node
            self._budget.nodes -= node.nodes
            return
        top = self._open[-1]
        into = top.node
        if type(into) is Listing:
            into.items.append(node)
        elif top.key is None:
            if not isinstance(node, Leaf):
                self._stop(
                    node.start,
                    "a list or block cannot be a key here",
                    "did you mean quotes around {…} or […]?",
                )
            else:
                top.key = node
                return
        elif isinstance(into, Block):
            self._enter(top, into, top.key, node)
            top.key = None
        if type(node) is Leaf:
            into.nodes += 1
        else:
            into.nodes += node.nodes
            into.height = max(into.height, node.height + 1)
        if into.nodes > self._budget.nodes:
            hint = "use fewer aliases, or split the site"
            self._stop(into.start, f"more than {NODES_MAX} values, aliases counted at each use", hint)

    def _enter(self, top: _Open, into: Block, key: Leaf, node: Node) -> None:
        if key.text == "<<" and key.value == "<<":
            top.merges.append((key, node))
        elif key.text in into.entries:
            first = into.entries[key.text][0]
            message = f"the key '{_shown(key.text)}' stands here twice; first at {place(first)}"
            self.problems.append(problem_at(key, message, "keep one of them"))
        else:
            into.entries[key.text] = (key, node)

    def _merge(self, into: Block, merges: list[tuple[Leaf, Node]]) -> None:
        """Bring in the keys of `<<`; those that the mapping has itself win, then the earlier ones."""
        for key, value in merges:
            blocks = value.items if isinstance(value, Listing) else [value]
            for block in blocks:
                if not isinstance(block, Block):
                    hint = "write '<<: *name' or '<<: [*one, *two]'"
                    self.problems.append(problem_at(key, "'<<' needs a mapping or a list of mappings", hint))
                    continue
                self._budget.merged -= len(block.entries)
                if self._budget.merged < 0:
                    self._stop(key.start, f"'<<' brings in more than {MERGED_MAX} keys", "use fewer merge keys")
                for name, entry in block.entries.items():
                    into.entries.setdefault(name, entry)

    def _too_deep(self, mark: Any) -> None:
        self._stop(mark, f"nested deeper than {DEPTH_MAX} levels", "a site needs about 8; look for unclosed brackets")

    def _stop(self, mark: Any, message: str, hint: str) -> None:
        self._problem(mark, mark, message, hint)
        raise _Stop

    def _problem(self, start: Any, end: Any, message: str, hint: str) -> None:
        same_line = end.line == start.line and end.column > start.column
        end_column = end.column if same_line else start.column + 1
        where = (self.source.name, start.line + 1, start.column + 1, end_column + 1)
        self.problems.append(Problem(*where, message, hint))


def _shown(text: str) -> str:
    return text.removeprefix(_CORE) if len(text) <= 60 else text[:57] + "…"
