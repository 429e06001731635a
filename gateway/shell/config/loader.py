"""From YAML files to a site in force, or to every problem that stands in its way."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from gateway.shell.config import profiles
from gateway.shell.config.assemble import assemble, unit_to_drop, without
from gateway.shell.config.compose import Budget, Composer
from gateway.shell.config.fields import can_do_without
from gateway.shell.config.problem import Problem
from gateway.shell.config.source import Source, find, read
from gateway.shell.config.tree import (
    Block,
    Leaf,
    Listing,
    Node,
    child,
    key_leaf,
    place,
    problem_at,
    text_at,
    walk,
)
from gateway.shell.config.validate import Path as DataPath
from gateway.shell.config.validate import Wrong, tag_at, validate
from gateway.site import Site
from gateway.site.checks import check
from gateway.site.checks_finding import Finding, did_you_mean


@dataclass(frozen=True, slots=True)
class Loaded:
    """`site` is None as soon as there is a problem. `files`: all that were read, by the names problems use."""

    site: Site | None
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    sources: Mapping[str, Source] = field(repr=False)


def load(path: Path, env: Mapping[str, str]) -> Loaded:
    """Read, join, validate and cross-check a site (a YAML file or a folder of them).

    Everything that is wrong is found in one run, ordered by file and line. Never raises for what a file says.
    """
    with _collector_paused():
        return _load(path, env)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector off while a tree of a million objects grows: it would go through all of them
    again and again (5,000 devices: 4 s instead of 1 s) and find nothing, for a tree has no cycles."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _load(path: Path, env: Mapping[str, str]) -> Loaded:
    reading = _Reading(env)
    paths, problems = find(path)
    reading.problems.extend(problems)
    roots = [reading.compose(one) for one in paths]
    trees = [root for root in roots if root is not None]
    site = None
    # With a file that cannot be read half the names would seem unknown: say only what keeps it from being read.
    if trees and len(trees) == len(paths):
        site = reading.build(trees)
    order = {str(name): number for number, name in enumerate(reading.files)}
    found = sorted(set(reading.problems), key=lambda p: (order.get(p.file, len(order)), p.line, p.column, p.message))
    return Loaded(None if found else site, tuple(found), tuple(reading.files), reading.sources)


class _Reading:
    """One load under way."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.files: list[Path] = []
        self.sources: dict[str, Source] = {}
        self._env = env
        self._budget = Budget()

    def compose(self, path: Path) -> Node | None:
        source = read(path)
        self.files.append(path)
        if isinstance(source, Problem):
            self.problems.append(source)
            return None
        self.sources[source.name] = source
        composer = Composer(source, self._env, self._budget)
        root = composer.run()
        self.problems.extend(composer.problems)
        return root

    def build(self, trees: list[Node]) -> Site | None:
        root, problems = assemble(trees)
        self.problems.extend(problems)
        if not all(isinstance(tree, Block) for tree in trees):
            return None
        shipped = profiles.shipped()
        self._add_profiles(root, shipped)
        whole = not self.problems
        site, wrongs = validate(root)
        self.problems.extend(problem for _, problem in wrongs if problem is not None)
        left_out: frozenset[str] | None = None if whole else frozenset()
        patched: frozenset[str] = frozenset()
        if wrongs:
            root, site, left_out, patched = _without_the_wrong(root, wrongs)
        if site is None:
            return None
        for finding in check(site, left_out=left_out, shipped=shipped):
            if not _follows_from_patch(root, finding, patched):
                self.problems.append(_as_problem(root, finding))
        self._check_timezone(root, site)
        return site

    def _add_profiles(self, root: Block, shipped: Mapping[str, Path]) -> None:
        """Append the shipped profiles that devices name and the site does not bring itself."""
        own = child(root, "profiles")
        listing = own if isinstance(own, Listing) else Listing(root.source, root.start, [])
        known = {text_at(profile, "profile") for profile in listing.items}
        devices = child(root, "devices")
        wanted: dict[str, None] = {}
        for device in devices.items if isinstance(devices, Listing) else ():
            name = text_at(device, "profile")
            if name is not None and name not in known and name in shipped:
                wanted[name] = None
        for name in wanted:
            tree = self.compose(shipped[name])
            if tree is not None:
                listing.items.append(tree)
        if wanted and (own is None or (isinstance(own, Leaf) and own.value is None)):
            key = Leaf(root.source, root.start, root.start, "profiles", "profiles")
            root.entries["profiles"] = (key, listing)

    def _check_timezone(self, root: Block, site: Site) -> None:
        named: list[tuple[tuple[str | int, ...], str]] = [(("site", "timezone"), site.site.timezone)]
        for number, channel in enumerate(site.channels):
            if channel.mapping is not None:
                named += [(("channels", number, "mapping", *path), zone) for path, zone in channel.mapping.zones()]
        for path, name in named:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                zones = available_timezones()
                if not zones and name == "UTC":
                    continue
                hint = did_you_mean(name, zones, "a name of the IANA database, such as Europe/Berlin or UTC")
                node, _ = walk(root, path)
                self.problems.append(problem_at(node, f"the timezone '{name}' is unknown on this machine", hint))


_Rest = tuple[Block, Site | None, frozenset[str], frozenset[str]]


def _without_the_wrong(root: Block, wrongs: list[Wrong]) -> _Rest:
    """What is left to cross-check: bad keys go where the model can do without them, else the whole entry.

    Also the names of the entries that are gone, and the ids of devices whose connection is no longer as written.
    """
    spare = {
        path
        for path, _ in wrongs
        # A profile without one of its keys would seem to lack a register; it goes as a whole.
        if path and path[0] != "profiles" and can_do_without(path, tag_at(root, path))
    }
    patched = {
        text_at(root, *path[:2], "id") for path in spare if path[:1] == ("devices",) and path[2:3] == ("connection",)
    }
    root = _with_site(without(root, spare))
    site, again = validate(root)
    names: frozenset[str] = frozenset()
    if again:
        parts = {unit_to_drop(path) for path, _ in again}
        names = _names(root, parts)
        root = _with_site(without(root, parts))
        site, _ = validate(root)
    return root, site, names, frozenset(name for name in patched if name is not None)


def _follows_from_patch(root: Block, finding: Finding, patched: frozenset[str]) -> bool:
    """Two devices seem to share an address when a bad key was taken from a connection."""
    paths = [path for path in (finding.path, finding.other or ()) if path[2:3] == ("connection",)]
    return any(text_at(root, *path[:2], "id") in patched for path in paths)


def _with_site(root: Block) -> Block:
    """Put a stand-in where the `site` block had to be left out, so that the rest can be judged."""
    if "site" not in root.entries:
        leaf = Leaf(root.source, root.start, root.start, "site", "site")
        block = Block(root.source, root.start, {"id": (leaf, leaf), "name": (leaf, leaf)})
        root.entries["site"] = (leaf, block)
    return root


def _names(root: Block, parts: set[DataPath]) -> frozenset[str]:
    """The ids and names of what is left out: they exist, though nothing more can be said of them."""
    names: set[str] = set()
    for path in parts:
        node, taken = walk(root, path)
        if taken < len(path):
            continue
        for entry in _entries(node):
            names.update(name for key in ("id", "profile") if (name := text_at(entry, key)) is not None)
    return frozenset(names)


def _entries(node: Node) -> list[Node]:
    """What may carry an id: the node itself, or the entries of a list."""
    return list(node.items) if isinstance(node, Listing) else [node]


def _as_problem(root: Block, finding: Finding) -> Problem:
    node, taken = walk(root, finding.path)
    message = finding.message
    if finding.other is not None:
        other, _ = walk(root, finding.other)
        message += f" (the other one: {place(other)})"
    if taken == len(finding.path) and not isinstance(node, Leaf):
        node = key_leaf(root, finding.path) or node
    return problem_at(node, message, finding.hint)
