"""The documentation: the OpenAPI document, and a page that shows it without the internet."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import FastAPI, Path
from starlette.responses import HTMLResponse, Response

from gateway.host.api.call import Call
from gateway.host.api.giving import content_tag, encoded
from gateway.host.api.offer import Offer
from gateway.host.api.problem import Refusal

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stellwerk: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head><body><div id="api"></div>
<noscript>This page needs its script; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/begin.js"></script></body></html>"""
_BEGIN = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "none", '
    "validatorUrl: null});"
)
_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "begin.js": "text/javascript"}
_KEPT = {"Cache-Control": "private, max-age=3600"}


class Pages:
    """/docs and /openapi.json. Swagger UI comes out of the package fastapi-offline."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._document = b""
        self._assets: dict[str, bytes] = {"begin.js": _BEGIN.encode()}

    def offer(self, offer: Offer) -> None:
        page = partial(offer.route, role="viewer", tag="docs")
        page("GET", "//openapi.json", self.openapi, answers={200: dict})
        page("GET", "//docs", self.docs, answers={200: str}, media_type="text/html")
        page("GET", "//docs/{asset}", self.asset, answers={200: str}, media_type="*/*")

    async def openapi(self, call: Call) -> Response:
        """This document."""
        if not self._document:
            self._document = await asyncio.to_thread(lambda: encoded(self._app.openapi()))
        tag = content_tag(self._document)
        if call.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(self._document, 200, {"ETag": tag}, "application/json")

    async def docs(self) -> Response:
        """The document as a page."""
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": CSP})

    async def asset(self, asset: Annotated[str, Path(max_length=40)]) -> Response:
        """A file of the page."""
        if asset not in _ASSETS:
            raise Refusal("unknown", f"the page has no file {asset!r}", way_on="open /docs")
        if asset not in self._assets:
            self._assets[asset] = await asyncio.to_thread(_read, asset)
        return Response(self._assets[asset], 200, _KEPT, _ASSETS[asset])


def _read(name: str) -> bytes:
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise Refusal("unknown", "the files of Swagger UI are not installed", way_on="read /openapi.json")
    return (FilePath(spec.origin).parent / "static" / name).read_bytes()
