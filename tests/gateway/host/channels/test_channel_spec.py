"""What is wrong with a channel in the YAML is found before the start, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.shell.config import as_text, json_schema, load
from gateway.site import ChannelSpec, Site, decode_site, encode_site
from gateway.site.channels import covers

RULE: dict[str, Any] = {"request": "cancel_order", "order": "{order}"}
MAPPING = {"rules": [RULE]}


def test_a_channel_is_a_folder_of_requests_where_nothing_more_is_said() -> None:
    spec = ChannelSpec.model_validate({"id": "wms"})
    assert (spec.kind, spec.format, spec.folder, spec.mapping) == ("folder", "request", None, None)


def test_a_site_with_channels_comes_back_from_the_journal_as_it_was() -> None:
    channel = {
        "id": "erp", "format": "csv", "folder": {"settle_ms": 5}, "csv": {"delimiter": ";"},
        "mapping": {"rules": [{**RULE, "when": [{"field": "x", "in": [1, "1", True]}]}], "request_id": "{a}"},
    }  # fmt: skip
    site = Site.model_validate({"site": {"id": "s", "name": "S"}, "channels": [channel, {"id": "wms"}]})
    assert decode_site(encode_site(site)) == site


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown format": ({"format": "xml"}, "Input should be"),
    "mapping is missing": ({"format": "json"}, "format json needs a `mapping`"),
    "mapping without records": ({"mapping": MAPPING}, "format request has no `mapping`"),
    "block is missing": ({"kind": "mqtt"}, "kind mqtt needs a `mqtt` block"),
    "block of another kind": ({"hook": {"secret_file": "x"}}, "kind folder has no `hook` block"),
    "block of another format": ({"csv": {}}, "no `csv` block"),
    "hook without a signature": (
        {"kind": "hook", "format": "json", "hook": {"secret_file": "x"}, "mapping": MAPPING},
        "a hook takes shopify or woocommerce",
    ),
    "two sources of a string": (
        {"kind": "table", "table": {"dsn_file": "x", "dsn_env": "Y"}},
        "`dsn_file` or by `dsn_env`",
    ),
    "no source of a string": ({"kind": "table", "table": {}}, "`dsn_file` or by `dsn_env`"),
    "rows as requests": ({"kind": "table", "table": {"dsn_env": "Y", "payload_column": ""}}, "that is format json"),
    "an SQL name that is none": ({"kind": "table", "table": {"dsn_env": "Y", "inbox": "a; drop"}}, "pattern"),
    "one table for both": ({"kind": "table", "table": {"dsn_env": "Y", "outbox": "stellwerk_in"}}, "two tables"),
    "no TLS": ({"kind": "mqtt", "mqtt": {"topic": "a", "broker": {"host": "b.example"}}}, "without TLS"),
    "all topics": ({"kind": "mqtt", "mqtt": {"topic": "#"}}, "pattern"),
    "a wildcard within a level": ({"kind": "mqtt", "mqtt": {"topic": "a/b+"}}, "stands alone"),
    "answers to ourselves": ({"kind": "mqtt", "mqtt": {"topic": "a/+/x", "reply_topic": "a/b/x"}}, "come back"),
    "QoS 0": ({"kind": "mqtt", "mqtt": {"topic": "a", "qos": 0}}, "Input should be 1"),
    "a path as a pattern": ({"folder": {"pattern": "../*.json"}}, "pattern"),
    "an acknowledgement without EDI": ({"folder": {"acknowledge": True}}, "is for edifact and x12"),
    "equal marks": ({"format": "csv", "csv": {"delimiter": '"'}, "mapping": MAPPING}, "two different characters"),
    "required and not there": (
        {"format": "csv", "csv": {"columns": ["a"], "required": ["b"]}, "mapping": MAPPING},
        "`required` names 'b'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_blocks_that_do_not_fit_are_refused(case: str) -> None:
    spec, part = CASES[case]
    with pytest.raises(ValidationError) as refused:
        ChannelSpec.model_validate({"id": "c", **spec})
    assert part in str(refused.value)


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "needs": ({"request": "create_order", "order": "a"}, "create_order needs `steps`"),
    "has no": ({**RULE, "location": "R"}, "cancel_order has no `location`; it takes order, reason, version"),
    "two questions": ({**RULE, "when": [{"field": "a", "equals": 1, "exists": True}]}, "needs one of"),
    "no question": ({**RULE, "when": [{"field": "a"}]}, "needs one of"),
    "language in a date": (
        {"request": "change_order", "order": "a", "deadline": {"from": "{t}", "format": "%d. %b %Y"}},
        "`format` has '%b'",
    ),
    "no day": ({"request": "change_order", "order": "a", "deadline": {"from": "{t}", "format": "%Y"}}, "names no day"),
    "no year": ({"request": "change_order", "order": "a", "deadline": {"from": "{t}", "format": "%d.%m."}}, "no year"),
    "noon or midnight": (
        {"request": "change_order", "order": "a", "deadline": {"from": "{t}", "format": "%Y%m%d %I"}},
        "%I without %p",
    ),
    "marks": (
        {"request": "change_order", "order": "a", "priority": {"from": "{t}", "thousands": "."}},
        "must differ",
    ),
    "no template": ({**RULE, "order": []}, "0 templates, must be 1 to 8"),
    "many templates": ({**RULE, "order": ["a"] * 9}, "9 templates, must be 1 to 8"),
    "otherwise alone": ({"request": "cancel_order", "order": {"from": "{t}", "otherwise": "x"}}, "give `values`"),
    "previous in an id": ({**RULE, "request_id": "{@previous}"}, "known in `after` only"),
}


@pytest.mark.parametrize("case", RULES)
def test_rules_that_do_not_fit_are_refused(case: str) -> None:
    rule, part = RULES[case]
    with pytest.raises(ValidationError) as refused:
        ChannelSpec.model_validate({"id": "c", "format": "json", "mapping": {"rules": [rule]}})
    assert part in str(refused.value)


def test_the_check_names_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "site: {id: x, name: X}\n"
        "channels:\n"
        "  - id: erp\n"
        "    format: json\n"
        "    mapping:\n"
        "      rules:\n"
        '        - {request: create_ordr, order: "{a"}\n'
        "        - request: announce_load\n"
        '          load: "{id}"\n'
        '          location: {form: "{gate}"}\n'
    )
    loaded = load(tmp_path, {})
    text = as_text(loaded.problems, loaded.sources)
    assert loaded.site is None
    for part in (
        "site.yaml:7:21: channel erp: 'request' is 'create_ordr'", "did you mean 'create_order'?",
        "site.yaml:7:41: channel erp: 'order' is not valid: the brace at character 1 of '{a' is not closed",
        "site.yaml:10:22: channel erp: unknown key 'form'", "did you mean 'from'?",
    ):  # fmt: skip
        assert part in text


def test_the_schema_for_editors_has_the_short_form_too() -> None:
    schema = json_schema("site")["$defs"]["RuleSpec"]["properties"]["order"]
    assert any(choice.get("type") == "string" for choice in schema["anyOf"][0].get("anyOf", schema["anyOf"]))


@pytest.mark.parametrize("pair", ["a/# a", "a/# a/b/c", "a/+/c a/b/c", "a/b a/b"])
def test_a_topic_filter_covers(pair: str) -> None:
    assert covers(*pair.split())


@pytest.mark.parametrize("pair", ["a/+ a/b/c", "a/b a", "a a/b", "a/+ a"])
def test_a_topic_filter_does_not_cover(pair: str) -> None:
    assert not covers(*pair.split())
