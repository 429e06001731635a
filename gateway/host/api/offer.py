"""How routes are put into the API: each with its role, its answers and its refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from gateway.host.api.guarded import Guarded, GuardedSocket, Needed
from gateway.host.api.parts import Parts
from gateway.host.api.problem import MEDIA_TYPE, STATUS_BY_CODE, TITLES
from gateway.host.api.schema import Schemas

PREFIX = "/api/v1"
_WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_TITLE_BY_STATUS = {status: TITLES[code] for code, status in reversed(list(STATUS_BY_CODE.items()))}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request for ever: sent again it is done once and answered the same.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}
_WHY = {
    "name": "X-Reason",
    "in": "header",
    "required": False,
    "description": "Why, for the audit log, where the body has no reason.",
    "schema": {"type": "string", "pattern": "^[ -~]{0,500}$"},
}
_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that it was decided by; 412 where it is another one by now.",
    "schema": {"type": "string", "pattern": '^("[!#-~]{1,80}"|\\*)$'},
}


class Offer:
    """Adds routes to an application."""

    def __init__(self, app: FastAPI, parts: Parts, schemas: Schemas) -> None:
        self._app = app
        self._parts = parts
        self._schemas = schemas

    def route(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Any],
        role: Needed,
        answers: dict[int, Any],
        *,
        tag: str,
        what: str = "",
        secret: bool = False,
        audited: bool = True,
        matches: bool = False,
        any_query: bool = False,
        links: dict[str, Any] | None = None,
        media_type: str = "application/json",
        extra: dict[str, Any] | None = None,
    ) -> None:
        """`answers`: what it answers by status, a msgspec type or None for no body. `what`: the deed's name in the
        audit log; `matches`: it heeds If-Match; `links`: OpenAPI's, to what can be done with what was made."""
        writes = method in _WRITE_METHODS
        full = path if path.startswith("//") else PREFIX + path
        full = full[1:] if full.startswith("//") else full
        options = dict(extra or {})
        parameters = ([_KEY, _WHY] if writes and role != "anybody" else []) + ([_MATCH] if matches else [])
        if parameters:
            options["parameters"] = [*options.get("parameters", []), *parameters]
        if role == "anybody":
            options["security"] = []
        options["x-role"] = role
        first = min(answers)
        route = Guarded(
            full,
            endpoint,
            parts=self._parts,
            role=role,
            writes=writes,
            audited=audited and role != "anybody",
            secret=secret,
            any_query=any_query,
            json_body=writes and "requestBody" not in (extra or {}),
            methods=[method],
            name=what or endpoint.__name__,
            tags=[tag],
            summary=_summary(endpoint),
            operation_id=f"{tag}_{endpoint.__name__}".replace("-", "_"),
            status_code=first,
            response_model=None,
            responses=self._responses(answers, media_type, writes=writes, links=links or {}),
            openapi_extra=options,
        )
        self._app.router.routes.append(route)

    def socket(self, path: str, endpoint: Callable[..., Any], role: Needed) -> None:
        """A WebSocket; OpenAPI has no words for it, so docs/http-api.md describes it."""
        self._app.router.routes.append(GuardedSocket(PREFIX + path, endpoint, role=role))

    def _responses(
        self, answers: dict[int, Any], media_type: str, *, writes: bool, links: dict[str, Any]
    ) -> dict[int | str, dict[str, Any]]:
        found: dict[int | str, dict[str, Any]] = {}
        for status, shape in answers.items():
            found[status] = {"description": "Done" if writes else "As it is now"}
            if links and status == min(answers, key=lambda s: (s != 201, s)):
                found[status]["links"] = links
            if shape is not None:
                schema = self._schemas.of(shape) if media_type == "application/json" else {"type": "string"}
                found[status]["content"] = {media_type: {"schema": schema}}
        refusals = {400, 401, 403, 404, 422, 429, 431, 500, 503}
        if writes:
            refusals |= {408, 409, 412, 413, 415}
        problem = {"content": {MEDIA_TYPE: {"schema": self._schemas.problem}}}
        for status in sorted(refusals):
            found.setdefault(status, {"description": _TITLE_BY_STATUS[status], **problem})
        if not writes and first_is_json(answers, media_type):
            found[304] = {"description": "As it was: If-None-Match has its ETag"}
        return found


def first_is_json(answers: dict[int, Any], media_type: str) -> bool:
    return 200 in answers and answers[200] is not None and media_type == "application/json"


def _summary(endpoint: Callable[..., Any]) -> str:
    """The first line of the docstring is what the route is called in the documentation."""
    return (endpoint.__doc__ or "").strip().partition("\n")[0].rstrip(".")
