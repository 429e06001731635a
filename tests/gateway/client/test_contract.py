"""The client against the API's own description: every route, parameter and field that it knows is there, and all else
is left out on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.client import AsyncClient, Destination, NewOrder, Step
from gateway.client.ask import Ask
from gateway.client.endpoint import Endpoint, Listing

AT = datetime(2027, 1, 1, tzinfo=UTC)
STEPS = (Step("a", "work", "L", "P", "pick", "r", ("b",)),)
PLAN = {"BERLIN": Destination("S1", (1,))}
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "orders.create": (("O", STEPS), {"priority": 1, "deadline": AT, "reason": "r"}),
    "orders.create_many": (([NewOrder("O", STEPS, 1, AT)],), {"reason": "r"}),
    "orders.get": (("O",), {}),
    "orders.browse": (
        (),
        {"state": ["started"], "client": "c", "load": "l", "priority": 1, "text": "t", "sort": "newest", "cursor": "x"},
    ),
    "orders.reconcile": ((), {"client": "c", "ended_since": AT, "cursor": "x"}),
    "orders.change": (("O",), {"priority": 1, "deadline": AT, "steps": STEPS, "version": 1, "reason": "r"}),
    "orders.hold": (("O", "r"), {"version": 1}),
    "orders.resume": (("O", "r"), {"version": 1}),
    "orders.cancel": (("O", "r"), {"version": 1}),
    "orders.explain": (("O",), {}),
    "loads.browse": ((), {"location": "P", "text": "t", "cursor": "x"}),
    "loads.get": (("L",), {}),
    "loads.announce": (("L", "P", ["c"]), {"version": '"t"', "reason": "r"}),
    "loads.remove": (("L", "r"), {"version": '"t"'}),
    "locations.browse": ((), {"kind": "rack", "cursor": "x"}),
    "locations.get": (("P",), {}),
    "devices.browse": ((), {"type": "agv", "cursor": "x"}),
    "devices.get": (("D",), {}),
    "devices.mode": (("D", "manual", "r"), {"version": '"t"'}),
    "devices.hold": (("D", "r"), {"version": '"t"'}),
    "devices.resume": (("D", "r"), {"version": '"t"'}),
    "devices.reset": (("D", 2, "r"), {"version": '"t"'}),
    "commands.browse": ((), {"device": "D", "cursor": "x"}),
    "commands.resolve": (("D-7", "r"), {"done": False}),
    "alarms.browse": ((), {"source": "D", "shelved": "too", "cursor": "x"}),
    "alarms.acknowledge": (("A", "r"), {}),
    "alarms.shelve": (("A", AT, "r"), {}),
    "alarms.unshelve": (("A", "r"), {}),
    "workers.browse": ((), {"cursor": "x"}),
    "workers.get": (("W",), {}),
    "workers.sign_on": (("W", "S"), {"reason": "r"}),
    "workers.sign_off": (("W", "r"), {}),
    "workers.help": (("W", "t"), {"reason": "r"}),
    "work.browse": ((), {"person": "W"}),
    "work.accept": (("O-a", "W"), {"reason": "r"}),
    "work.confirm": (("O-a", "W"), {"reason": "r"}),
    "work.short": (("O-a", "W", 1, "n"), {}),
    "work.damaged": (("O-a", "W", "n"), {}),
    "sort_plans.browse": ((), {"cursor": "x"}),
    "sort_plans.get": (("p", 1), {}),
    "sort_plans.active": ((), {}),
    "sort_plans.history": ((), {"cursor": "x"}),
    "sort_plans.upload": (("p", PLAN), {"reason": "r"}),
    "sort_plans.validate": (("p", PLAN), {}),
    "sort_plans.activate": (("p", 1, "r"), {}),
    "sort_plans.use_yaml": (("r",), {}),
    "status.health": ((), {}),
    "status.ready": ((), {}),
    "status.about": ((), {}),
    "status.summary": ((), {}),
    "status.who": ((), {}),
    "dead_letters.browse": ((), {"cursor": "x"}),
    "dead_letters.replay": (([1],), {"reason": "r"}),
}
"""Every method, with everything said that it can say."""

NOT_OFFERED = {
    # The same as POST …/cancel.
    ("DELETE", "/api/v1/orders/{order}"),
    # For browsers, shops, and whoever runs the gateway: `stellwerk access` is for accounts and keys.
    ("POST", "/api/v1/hooks/{channel}"),
    ("POST", "/api/v1/session"),
    ("DELETE", "/api/v1/session"),
}
NOT_OFFERED_BELOW = ("/api/v1/accounts", "/api/v1/keys", "/api/v1/audit", "/api/v1/oidc")
OURS = {"etag", "repeated"}
"""Fields that the client fills from headers."""


def offered() -> Iterator[tuple[str, Endpoint[Any, Any] | Listing[Any, Any, Any]]]:
    for group, made in vars(AsyncClient("http://127.0.0.1")).items():
        for name, member in vars(type(made)).items():
            if isinstance(member, Endpoint | Listing):
                yield f"{group}.{name}", member


METHODS = dict(offered())


def ask_of(name: str) -> Ask[Any]:
    args, kwargs = CALLS[name]
    ask: Ask[Any] = METHODS[name].describe(None, *args, **kwargs)
    return ask


def test_every_method_is_looked_at_here() -> None:
    assert METHODS.keys() == CALLS.keys()


@pytest.fixture
def document(gateway: Any) -> dict[str, Any]:
    found: dict[str, Any] = gateway.house.app.openapi()
    return found


def operation(document: dict[str, Any], ask: Ask[Any]) -> tuple[str, dict[str, Any]]:
    """The one operation that serves it: a path without parameters goes before one with them."""
    fitting = []
    for path, methods in document["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        if re.fullmatch(pattern, ask.path) and ask.method.lower() in methods:
            fitting.append((path.count("{"), path))
    assert fitting, f"{ask.method} {ask.path} is not in the API"
    path = min(fitting)[1]
    return path, document["paths"][path][ask.method.lower()]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def branches(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    schema = resolved(document, schema)
    options = schema.get("anyOf") or schema.get("oneOf")
    return [each for option in options for each in branches(document, option)] if options else [schema]


def fields(document: dict[str, Any], schema: dict[str, Any], at: str = "") -> dict[str, str]:
    """Every field below, as `orders[].steps[].state` → its JSON type."""
    found: dict[str, str] = {}
    for branch in branches(document, schema):
        kind = str(branch.get("type", ""))
        if kind == "array":
            items = branch.get("items") or {}
            found |= fields(document, items, f"{at}[]") if isinstance(items, dict) else {}
        elif "properties" in branch:
            for name, inner in branch["properties"].items():
                found |= fields(document, inner, f"{at}.{name}".lstrip("."))
        elif kind == "object" and (inners := keyed(branch)):
            for inner in inners:
                found |= fields(document, inner, f"{at}{{}}")
        elif kind != "null":
            found[at] = kind
    return found


def keyed(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands under keys that are ids."""
    inners = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    return [inner for inner in inners if isinstance(inner, dict)]


def client_fields(answer: type) -> dict[str, str]:
    (schema,), components = msgspec.json.schema_components([answer], ref_template="#/components/schemas/{name}")
    told = fields({"components": {"schemas": components}}, schema)
    return {name: kind for name, kind in told.items() if name not in OURS and name.rpartition(".")[2] not in OURS}


def test_every_route_and_parameter_is_in_the_api(document: dict[str, Any]) -> None:
    for name in CALLS:
        ask = ask_of(name)
        _, found = operation(document, ask)
        known = {(each["in"], each["name"]) for each in found.get("parameters", [])}
        assert {("query", parameter) for parameter in ask.query} <= known, name
        sent = {("header", header) for header in ask.headers if header != "Content-Type"}
        assert sent <= known, name
        assert bool(ask.body) == ("requestBody" in found) or ask.method == "DELETE", name


def test_every_body_is_one_that_the_api_describes(document: dict[str, Any]) -> None:
    import jsonschema

    for name in CALLS:
        ask = ask_of(name)
        if not ask.body:
            continue
        _, found = operation(document, ask)
        schema = found["requestBody"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(msgspec.json.decode(ask.body))
        # All that a body may say can be said with the client.
        if name not in ("orders.create", "orders.create_many"):
            taken = fields(document, schema)
            said = {re.sub(r"\d+", "", path) for path in spread(msgspec.json.decode(ask.body))}
            assert taken.keys() == said, name


def spread(value: Any, at: str = "") -> Iterator[str]:
    match value:
        case dict() if at == "destinations":
            for inner in value.values():
                yield from spread(inner, f"{at}{{}}")
        case dict():
            for name, inner in value.items():
                yield from spread(inner, f"{at}.{name}".lstrip("."))
        case list():
            for inner in value:
                yield from spread(inner, f"{at}[]")
        case _:
            yield at


def test_every_answer_has_the_fields_that_the_api_describes(document: dict[str, Any]) -> None:
    for name in CALLS:
        ask = ask_of(name)
        _, found = operation(document, ask)
        told = {}
        for status in sorted(ask.statuses):
            answer = found["responses"].get(str(status), {}).get("content", {}).get("application/json")
            if answer is not None and (name != "orders.create" or status == 201):
                if name == "orders.create_many" and status == 201:
                    continue
                told |= fields(document, answer["schema"])
        known = client_fields(ask.answer)
        if name in ("sort_plans.get", "sort_plans.active"):
            # The API leaves the plan's inside to the site's schema.
            told = {path: kind for path, kind in told.items() if not path.startswith("destinations")}
            known = {path: kind for path, kind in known.items() if not path.startswith("destinations")}
        assert known == told, name


def test_all_else_is_left_out_on_purpose(document: dict[str, Any]) -> None:
    used = {(ask.method, operation(document, ask)[0]) for ask in map(ask_of, CALLS)}
    every = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/v1") and not path.startswith(NOT_OFFERED_BELOW)
    }
    assert every - used == NOT_OFFERED


def test_what_looks_like_a_field_is_found() -> None:
    """The comparison above must see into lists and objects."""
    found = client_fields(METHODS["orders.reconcile"].describe(None).answer)
    assert found["orders[].steps[].state"] == "string"
    assert found["orders[].steps[].after[]"] == "string"
    assert "orders[].etag" not in found
