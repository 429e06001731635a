"""The tree against the model: pydantic judges, every error finds its line and its plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError

from gateway.shell.config.fields import keys_at, kinds_at
from gateway.shell.config.problem import Problem
from gateway.shell.config.tree import (
    Block,
    Leaf,
    Listing,
    Node,
    PathKey,
    key_leaf,
    plain,
    problem_at,
    text_at,
    walk,
)
from gateway.shell.config.wording import shown, value_error
from gateway.site import DeviceSpec, Site
from gateway.site.checks_finding import did_you_mean, nearest

TAGS: tuple[str, ...] = tuple(
    tag for kind in get_args(get_args(DeviceSpec)[0]) for tag in get_args(kind.model_fields["type"].annotation)
)
"""The device types, as `type:` names them."""

WRONGS_MAX = 10_000
"""Errors that get their words; what follows is only kept out of the cross-checks."""

Path = tuple[PathKey, ...]
Wrong = tuple[Path, Problem | None]
"""A path and what is wrong there; None where a problem has been reported before."""


def validate(root: Block) -> tuple[Site | None, list[Wrong]]:
    """The site, or every place where it does not fit the model."""
    site: Site | None = None
    wrongs: list[Wrong] = []
    try:
        site = Site.model_validate(plain(root))
    except ValidationError as error:
        wrongs = _wrongs(root, error)
    known = {path for path, _ in wrongs}
    for path in _booleans(root, ()):
        kinds = kinds_at(path, tag_at(root, path)) if path not in known else []
        if kinds and bool not in kinds:
            wrongs.append((path, _boolean(root, path)))
    return (None, wrongs) if wrongs else (site, [])


def _wrongs(root: Block, error: ValidationError) -> list[Wrong]:
    """One entry a place: a union gives an error for each of its members."""
    found: dict[tuple[Path, str], Wrong] = {}
    for count, details in enumerate(error.errors(include_url=False)):
        path = _path(root, details["loc"])
        if count >= WRONGS_MAX:
            found[path, "rest"] = (path, _rest(root) if count == WRONGS_MAX else None)
            continue
        kind = details["type"]
        node, taken = walk(root, path)
        if kind != "missing" and taken == len(path) and isinstance(node, Leaf) and node.bad:
            found[path, ""] = (path, None)
            continue
        if kind == "too_short" and isinstance(node, Listing) and len(node.items) >= details["ctx"]["min_length"]:
            continue  # pydantic counts only the good entries; the bad ones have errors of their own
        slot = kind if kind in ("missing", "extra_forbidden") else ""
        problem = _problem(root, path, dict(details))
        if (path, slot) in found and problem is not None:
            problem = _either(root, path, details["input"])
        found[path, slot] = (path, problem)
    for path, slot in list(found):
        guess = nearest(str(path[-1]), keys_at(path[:-1], tag_at(root, path))) if slot == "extra_forbidden" else None
        if guess is not None and ((*path[:-1], guess), "missing") in found:
            # The key that is missing is the one that is misspelt: one slip, one problem.
            found[(*path[:-1], guess), "missing"] = ((*path[:-1], guess), None)
    return list(found.values())


def _rest(root: Block) -> Problem:
    return problem_at(root, f"more than {WRONGS_MAX} values do not fit; the others are not listed")


def _path(root: Block, loc: tuple[PathKey, ...]) -> Path:
    """pydantic's location without what it puts in besides keys and indices (union members, '[key]')."""
    steps = list(loc)
    if len(steps) > 2 and steps[0] == "devices" and steps[2] in TAGS:
        del steps[2]
    if steps and steps[-1] == "[key]":
        steps.pop()
    path: list[PathKey] = []
    node: Node | None = root
    for position, step in enumerate(steps):
        if isinstance(node, Leaf):
            break  # below a scalar there are only the names of union members
        path.append(step)
        node = walk(node, (step,))[0] if node is not None and walk(node, (step,))[1] else None
        if node is None and position < len(steps) - 1:
            break
    return tuple(path)


def _problem(root: Block, path: Path, details: dict[str, Any]) -> Problem | None:
    kind, context = details["type"], details.get("ctx", {})
    node, _ = walk(root, path)
    about = subject(root, path)
    name = _name(path)
    if kind == "extra_forbidden":
        hint = did_you_mean(str(path[-1]), keys_at(path[:-1], tag_at(root, path)), _known(root, path))
        return problem_at(key_leaf(root, path) or node, f"{about}unknown key {shown(path[-1])}", hint)
    if kind == "union_tag_not_found":
        return problem_at(node, f"{about}'type' is missing", f"add 'type:' with one of {', '.join(TAGS)}")
    if kind == "union_tag_invalid":
        given = walk(node, ("type",))[0]
        tag = str(context["tag"])
        hint = did_you_mean(tag, TAGS, f"the types are {', '.join(TAGS)}")
        return problem_at(given, f"{about}unknown device type {shown(tag)}", hint)
    if kind == "missing":
        return problem_at(node, f"{about}'{path[-1]}' is missing", f"add '{path[-1]}:'")
    if kind == "string_pattern_mismatch" and details["loc"][-1] == "[key]":
        node = key_leaf(root, path) or node
    if kind == "literal_error" and isinstance(details["input"], str):
        expected = [word.strip("' ") for word in context["expected"].replace(" or ", ",").split(",")]
        guess = did_you_mean(details["input"], expected)
        message, _ = value_error(kind, name, details["input"], context)
        return problem_at(node, about + message, guess)
    value = details["input"]
    if kind == "string_type" and isinstance(node, Leaf) and isinstance(value, int | float) and "${" not in node.text:
        return problem_at(node, f"{about}'{name}' must be a text, not {node.text}", f'put it in quotes: "{node.text}"')
    message, hint = value_error(kind, name, value, context)
    return problem_at(node, about + message, hint)


def _known(root: Block, path: Path) -> str:
    keys = keys_at(path[:-1], tag_at(root, path))
    return f"the keys here are {', '.join(keys)}" if keys else ""


def _either(root: Block, path: Path, value: object) -> Problem:
    """A value that fits no member of a union."""
    kinds = kinds_at(path, tag_at(root, path))
    words = [f"'{word}'" for kind in kinds for word in get_args(kind) if isinstance(word, str)]
    number = ["a whole number within its limits"] if int in kinds else []
    message = f"'{_name(path)}' cannot be {shown(value)}"
    return problem_at(walk(root, path)[0], subject(root, path) + message, "write " + " or ".join([*number, *words]))


def _name(path: Path) -> str:
    """The last key of a path, with the entry's number where it is one of a list."""
    if not path:
        return "site"
    if isinstance(path[-1], int) and len(path) > 1:
        return f"{path[-2]}, entry {path[-1] + 1}"
    return str(path[-1])


def tag_at(root: Block, path: Path) -> str | None:
    """The type of the device that `path` leads into, if it leads into one of a known type."""
    if path[:1] != ("devices",) or len(path) < 2:
        return None
    tag = text_at(root, *path[:2], "type")
    return tag if tag in TAGS else None


_SUBJECTS: dict[str, tuple[str, str]] = {
    "locations": ("location", "id"), "people": ("person", "id"), "channels": ("channel", "id"),
    "profiles": ("profile", "profile"), "nodes": ("node", "id"),
    "signals": ("signal", "name"), "groups": ("group", "group"),
}  # fmt: skip


def subject(root: Block, path: Path) -> str:
    """Whom a path is about, as 'agv AGV3: ' or 'profile x: signal y: ', or '' for the site itself."""
    words: list[str] = []
    for depth, key in enumerate(path[:-1]):
        if not isinstance(path[depth + 1], int):
            continue
        entry = path[: depth + 2]
        if key == "devices" and depth == 0:
            name = text_at(root, *entry, "id")
            words.append(f"{tag_at(root, entry) or 'device'} {name}" if name else "device without id")
        elif key == "edges":
            words.append(f"edge {text_at(root, *entry, 'from')} → {text_at(root, *entry, 'to')}")
        elif key in _SUBJECTS:
            what, naming = _SUBJECTS[str(key)]
            words.append(f"{what} {text_at(root, *entry, naming) or f'without {naming}'}")
    return "".join(word + ": " for word in words)


# pydantic takes true for 1; in a register map that is a slip of the pen.


def _booleans(node: Node, path: Path) -> Iterator[Path]:
    if type(node) is Block:
        for key, (_, value) in node.entries.items():
            if type(value) is Leaf:
                if value.value is True or value.value is False:
                    yield (*path, key)
            else:
                yield from _booleans(value, (*path, key))
    elif type(node) is Listing:
        for index, item in enumerate(node.items):
            if type(item) is not Leaf:
                yield from _booleans(item, (*path, index))
            elif item.value is True or item.value is False:
                yield (*path, index)


def _boolean(root: Block, path: Path) -> Problem:
    node, _ = walk(root, path)
    value = node.text if isinstance(node, Leaf) else ""
    return problem_at(node, f"{subject(root, path)}'{_name(path)}' must be a number, not '{value}'")
