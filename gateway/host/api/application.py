"""The API put together."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from gateway.host import web
from gateway.host.api.accounts import Accounts
from gateway.host.api.alarms import Alarms
from gateway.host.api.devices import Devices
from gateway.host.api.edge import Edge
from gateway.host.api.guarded import Guarded, GuardedSocket, NoRole
from gateway.host.api.loads import Loads
from gateway.host.api.offer import Offer
from gateway.host.api.orders import Orders
from gateway.host.api.outside import Outside
from gateway.host.api.pages import Pages
from gateway.host.api.parts import Parts
from gateway.host.api.people import People
from gateway.host.api.problem import Code, Refusal, answer
from gateway.host.api.remembered import Remembered
from gateway.host.api.reports import Reports
from gateway.host.api.schema import Schemas, install
from gateway.host.api.session import Sessions
from gateway.host.api.sort_plans import SortPlans

SCHEMA = Remembered.SCHEMA


def build(parts: Parts) -> FastAPI:
    """The whole API. The Store must have been opened with SCHEMA, `Access.SCHEMA` and `Plans.SCHEMA`.

    Raises NoRole where a route does not say whom it is for.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    schemas, remembered = Schemas(), Remembered(parts.store)
    offer = Offer(app, parts, schemas)
    for group in (
        Orders(parts, remembered),
        Loads(parts),
        Devices(parts),
        Alarms(parts),
        People(parts),
        SortPlans(parts, remembered),
        Reports(parts),
        Accounts(parts),
        Sessions(parts),
        Outside(parts, remembered),
        Pages(app),
        web.Web(),
    ):
        group.offer(offer)
    install(app, schemas, parts.site_name, parts.version)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_middleware(Edge, parts=parts)
    check_roles(app)
    return app


def check_roles(app: FastAPI) -> None:
    """Raises NoRole for a route that came in past `Offer`: nobody knows whom it is for."""
    for route in app.routes:
        if not isinstance(route, Guarded | GuardedSocket):
            raise NoRole(f"route {getattr(route, 'path', route)} has no role: add it with Offer")


async def _no_route(request: Request, error: Exception) -> Response:
    """What the router says: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    methods = sorted(
        {
            method
            for route in request.app.routes
            if isinstance(route, Guarded) and route.matches({**request.scope, "method": "-"})[0] is Match.PARTIAL
            for method in route.methods or ()
        }
    )
    if error.status_code == 405 and methods:
        allowed = ", ".join(methods)
        refusal = Refusal("method", f"{request.method} is not for this path: {allowed}", headers={"Allow": allowed})
    elif error.status_code in (404, 405):
        refusal = Refusal("unknown", "there is no such path here", way_on="see /docs or /openapi.json for all paths")
    else:
        code: Code = "internal" if error.status_code >= 500 else "malformed"
        refusal = Refusal(code, str(error.detail), status=error.status_code)
    return answer(refusal, path)
