"""Which keys the model knows at a place of the YAML: for unknown keys, and for true where a number belongs."""

from __future__ import annotations

from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from gateway.shell.config.tree import PathKey
from gateway.site import Site


def keys_at(path: tuple[PathKey, ...], tag: str | None) -> list[str]:
    """The keys that may stand in the mapping at `path`. `tag`: the device's type on the way, if there is one."""
    models = [kind for kind in kinds_at(path, tag) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def kinds_at(path: tuple[PathKey, ...], tag: str | None) -> tuple[Any, ...]:
    """The types that may stand at `path`, unions and annotations taken apart."""
    return _kinds_of_shape(tuple(0 if isinstance(key, int) else key for key in path), tag)


@lru_cache(maxsize=4096)
def _kinds_of_shape(path: tuple[PathKey, ...], tag: str | None) -> tuple[Any, ...]:
    """Which entry of a list it is makes no difference, so thousands of entries ask for a handful of shapes."""
    kinds: list[Any] = [Site]
    for key in path:
        kinds = [part for kind in kinds for part in _parts(_below(kind, key), tag)]
    return tuple(kinds)


def can_do_without(path: tuple[PathKey, ...], tag: str | None) -> bool:
    """Whether the last key of `path` is one that the model does not know or has a default for."""
    models = [kind for kind in kinds_at(path[:-1], tag) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    fields = [f for model in models for name, f in model.model_fields.items() if path[-1] in (name, f.alias)]
    return bool(models) and not any(field.is_required() for field in fields)


def _below(kind: Any, key: PathKey) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if key in (name, field.alias):
                return field.annotation
        return None
    if get_origin(kind) is tuple and isinstance(key, int):
        inner = get_args(kind)
        return inner[0] if inner[-1] is Ellipsis else inner[min(key, len(inner) - 1)]
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return None


def _parts(kind: Any, tag: str | None) -> list[Any]:
    if kind is None or kind is type(None):
        return []
    if get_origin(kind) is Annotated:
        return _parts(get_args(kind)[0], tag)
    if get_origin(kind) in (Union, UnionType):
        parts = [part for inner in get_args(kind) for part in _parts(inner, tag)]
        return [part for part in parts if _fits(part, tag)]
    return [kind]


def _fits(kind: Any, tag: str | None) -> bool:
    """Of a union of devices only the one with this tag."""
    if tag is None or not (isinstance(kind, type) and issubclass(kind, BaseModel)) or "type" not in kind.model_fields:
        return True
    return tag in get_args(kind.model_fields["type"].annotation)
