"""The JSON Schema of a site file and of a profile file, for editors."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel

from gateway.site import Profile, Site

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
"""`${NAME}`, which stands for whatever it is filled in with."""

_PEOPLE_WRITE_TEXT = frozenset({"pattern", "enum", "format"})


def json_schema(kind: Literal["site", "profile"] = "site") -> dict[str, Any]:
    """Draft 2020-12. A site file may be one of a folder, so no key of the top level is required in it."""
    model: type[BaseModel] = Site if kind == "site" else Profile
    schema = model.model_json_schema(by_alias=True)
    title = "Stellwerk site, or one file of it" if kind == "site" else "Stellwerk device profile"
    body = {key: _with_references(value) for key, value in schema.items() if key not in ("title", "$defs")}
    if kind == "site":
        body.pop("required", None)
    definitions = {name: _with_references(value) for name, value in schema.get("$defs", {}).items()}
    return {"$schema": _DIALECT, "title": title, **body, "$defs": definitions}


def schema_text(kind: Literal["site", "profile"] = "site") -> str:
    """The schema as `config/<kind>.schema.json` holds it."""
    return json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n"


def _with_references(schema: Any) -> Any:
    """Let `${…}` stand where a number, a boolean or a text of a certain form is asked for."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if _is_scalar(schema):
        plain = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
        about = {key: value for key, value in schema.items() if key in ("title", "description", "default")}
        return {**about, "anyOf": [plain, _REFERENCE]}
    kept = {key: value for key, value in schema.items() if key in ("default", "const", "required", "discriminator")}
    return {**{key: _with_references(value) for key, value in schema.items()}, **kept}


def _is_scalar(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if "const" in schema:
        return False  # `type: conveyor` chooses the shape of a device; it is written out
    if kind in ("integer", "number", "boolean"):
        return True
    return kind == "string" and bool(_PEOPLE_WRITE_TEXT & schema.keys())
