"""Where a signal lives on an OPC UA server, as profiles write it: an identifier, or a browse path. Pure.

    s=Status.HbPlc                                an identifier (s, i, g or b) in the profile's namespace
    /PLC/Status/HbPlc                             names below the Objects folder, in the profile's namespace
    /[http://opcfoundation.org/UA/DI/]DeviceSet/PLC1/State    a name of another namespace says its URI

A path may begin with /Objects, which changes nothing. Within a name `&` takes the next sign as it is (`&/`, `&[`,
`&&`), as in the RelativePath of OPC 10000-4, A.2.
"""

from __future__ import annotations

import re

STEPS_MAX = 32
"""Names in one path."""
_OBJECTS = (None, "Objects")
_IDENTIFIER = re.compile(r"(?:s|i|g|b)=.+", re.DOTALL)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_U32 = 2**32
PathStep = tuple[str | None, str]
"""Namespace URI (None: the profile's) and browse name."""


def is_path(node: str) -> bool:
    return node.startswith("/")


def path_steps(node: str) -> list[PathStep]:
    """The names of a browse path below the Objects folder. Raises ValueError with what is wrong, in words."""
    if not is_path(node):
        raise ValueError("a browse path begins with /")
    steps: list[PathStep] = []
    at = 0
    while at < len(node):
        step, at = _step(node, at + 1)
        steps.append(step)
    if len(steps) > 1 and steps[0] == _OBJECTS:
        steps = steps[1:]
    if len(steps) > STEPS_MAX:
        raise ValueError(f"it has {len(steps)} names, at most {STEPS_MAX} are allowed")
    return steps


def identifier_problem(node: str) -> str:
    """Why an identifier can't be one; empty where it can."""
    if _IDENTIFIER.match(node) is None:
        return "which is no identifier"
    kind, text = node[0], node[2:].replace("{n}", "1")
    if kind == "i" and not (text.isascii() and text.isdigit() and int(text) < _U32):
        return "which is no number from 0 to 4294967295"
    return "which is no GUID" if kind == "g" and _GUID.fullmatch(text) is None else ""


def _step(node: str, at: int) -> tuple[PathStep, int]:
    """One name from `at` on, and where the slash after it stands."""
    uri = None
    if node[at : at + 1] == "[":
        end = node.find("]", at)
        if end < 0:
            raise ValueError("a [ has no ]")
        uri, at = node[at + 1 : end], end + 1
        if not uri:
            raise ValueError("[] names no namespace")
    name = []
    while at < len(node) and node[at] != "/":
        if node[at] == "&":
            at += 1
            if at == len(node):
                raise ValueError("it ends with &, which takes the next sign as it is")
        name.append(node[at])
        at += 1
    if not name:
        raise ValueError("a name between two slashes is empty")
    return (uri, "".join(name)), at
