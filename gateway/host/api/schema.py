"""The OpenAPI 3.1 document: answers are described from the very types that are encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.host.api.problem import Problem

REF = "#/components/schemas/{name}"
ABOUT = (
    "Orders, loads, devices and people of one site. Every refusal is a problem (RFC 9457) with a code and a way on. "
    "A write that was answered is durable; sent again with the same Idempotency-Key it is done once and answered the "
    "same. See docs/http-api.md for conventions."
)


class Schemas:
    """Collects the types that answers have."""

    def __init__(self) -> None:
        self._types: list[Any] = [Problem]

    @property
    def problem(self) -> dict[str, Any]:
        return self.of(Problem)

    def of(self, shape: Any) -> dict[str, Any]:
        """A reference to the schema of a type, which will be among the components."""
        if shape not in self._types:
            self._types.append(shape)
        ((schema,), _) = msgspec.json.schema_components([shape], ref_template=REF)
        return schema

    def components(self) -> dict[str, Any]:
        _, components = msgspec.json.schema_components(self._types, ref_template=REF)
        return components


def install(app: FastAPI, schemas: Schemas, site_name: str, version: str) -> None:
    """Let `app.openapi()` give the whole document; it is made once, when it is first asked for."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(_document(app, schemas, site_name, version))
        return made

    replaced: Callable[[], dict[str, Any]] = openapi
    app.openapi = replaced  # type: ignore[method-assign]


def _document(app: FastAPI, schemas: Schemas, site_name: str, version: str) -> dict[str, Any]:
    document = get_openapi(
        title=f"Stellwerk: {site_name}",
        version=version,
        description=ABOUT,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas.components())
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key (swk_…) or the provider's access token"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "stellwerk_session",
            "description": "A login; changes need X-CSRF-Token, too",
        },
    }
    document["security"] = [{"key": []}, {"session": []}]
    return document
