"""Records become requests by the YAML's rules, or the reason says rule, field and value."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract import (
    AnnounceLoad,
    CancelOrder,
    ChangeOrder,
    CreateOrder,
    HoldOrder,
    RemoveLoad,
    Request,
    StepRequest,
)
from gateway.host.channels.lookup import MISSING, Scope, find
from gateway.host.channels.mapping import REQUESTS_MAX, Mapping, Unmapped
from gateway.host.channels.values import TEXT_MAX
from gateway.site.channel_mapping import MappingSpec
from gateway.site.channel_template import parse_path, parse_template


def mapping(*rules: dict[str, Any], **more: Any) -> Mapping:
    return Mapping(MappingSpec.model_validate({"rules": list(rules), **more}), "Europe/Berlin")


def made(record: dict[str, Any], *rules: dict[str, Any], **more: Any) -> list[tuple[str, Request]]:
    return mapping(*rules, **more).requests(record, "id", "file.csv")


def one(record: dict[str, Any], **rule: Any) -> Request:
    ((_, request),) = made(record, rule)
    return request


CANCEL: dict[str, Any] = {"request": "cancel_order", "order": "{order}"}


def reason_of(record: dict[str, Any], *rules: dict[str, Any], **more: Any) -> str:
    with pytest.raises(Unmapped) as refused:
        made(record, *rules, **more)
    return str(refused.value)


# --- templates and paths ---


def test_a_template_is_filled_from_nested_fields_and_lists() -> None:
    record = {"no": 7, "buyer": {"name": " Ada "}, "lines": [{"sku": "A"}, {"sku": "B"}], "Order No.": "x"}
    request = one(record, request="cancel_order", order="{no}/{buyer.name}-{lines.1.sku}-{'Order No.'}-{{}}")
    assert request == CancelOrder("7/ Ada-B-x-{}".replace(" ", ""))


def test_values_become_texts_without_blanks_around_them() -> None:
    for value, text in (
        ("  a b ", "a b"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (10**15, "1" + "0" * 15),
    ):
        assert one({"v": value}, request="cancel_order", order="{v}") == CancelOrder(text)


def test_what_is_missing_is_an_error_unless_it_is_optional() -> None:
    assert "order: order is not there; there is nr" in reason_of({"nr": 1}, CANCEL)
    assert "order: order is null" in reason_of({"order": None}, CANCEL)
    assert "gives an empty text" in reason_of({"nr": 1}, {**CANCEL, "order": "{order?}"})
    assert "gives an empty text" in reason_of({"order": "  "}, CANCEL)
    assert one({"order": "A"}, request="cancel_order", order="{order}", reason="{why?}") == CancelOrder("A", "")


def test_of_several_templates_the_first_that_gives_something_counts() -> None:
    rule = {**CANCEL, "order": ["{a}", "{b?}", "{c}"]}
    assert made({"b": "B", "c": "C"}, rule) == [("id", CancelOrder("B"))]
    assert made({"a": "", "c": "C"}, rule) == [("id", CancelOrder("C"))]
    assert "c is not there" in reason_of({"x": 1}, rule)


def test_an_object_is_no_text() -> None:
    assert "order is an object, not a text or a number: name a key below it" in reason_of({"order": {"id": 1}}, CANCEL)
    assert "order is a list of 2" in reason_of({"order": [1, 2]}, CANCEL)


def test_texts_are_replaced_cut_to_letters_and_listed() -> None:
    spec = {"from": "{o}", "replace": {"/": "-", "#": ""}, "letters": "upper"}
    assert one({"o": "#a/1"}, request="cancel_order", order=spec) == CancelOrder("A-1")
    to = {"from": "{gate?}", "values": {"north": "RACK-1"}, "default": "north"}
    assert one({"l": "L", "gate": ""}, request="announce_load", load="{l}", location=to) == AnnounceLoad("L", "RACK-1")
    rule = {"request": "announce_load", "load": "{l}", "location": to}
    assert "location: 'west' is none of north: add it to `values`" in reason_of({"l": "L", "gate": "west"}, rule)
    other = one({"l": "L", "gate": "west"}, request="announce_load", load="{l}", location={**to, "otherwise": "RACK-9"})
    assert other == AnnounceLoad("L", "RACK-9")


def test_a_text_has_a_longest_length() -> None:
    assert f"at most {TEXT_MAX}" in reason_of({"order": "x" * 999}, {**CANCEL, "order": "{order}{order}"})
    grown = {**CANCEL, "order": {"from": "{order}", "replace": {"x": "yyyyy"}}}
    assert f"at most {TEXT_MAX}" in reason_of({"order": "x" * 999}, grown)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{a", "not closed"), ("a}", "closes nothing"), ("{}", "empty key"), ("{a..b}", "empty key"), ("{a.}", "dot"),
        ("{'a}", "does not close it"), ("{'a'b}", "does not go on"), ("{@index.x}", "nothing below it"),
        ("{" + ".".join("a" * 17) + "}", "at most 16"), ("x" * 501, "at most 500"),
    ],
)  # fmt: skip
def test_a_bad_template_says_what_is_wrong(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(part)):
        parse_template(text)


@given(st.text(max_size=40))
def test_whatever_is_written_as_a_template_is_read_or_refused_in_words(text: str) -> None:
    try:
        parts = parse_template(text)
    except ValueError as error:
        parts = (str(error),)
    assert all(parts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["order", "lines", "x"]), json_values))
def test_whatever_a_record_is_it_gives_requests_or_a_reason(record: dict[str, Any]) -> None:
    rules = (
        {"request": "create_order", "order": "{order}", "priority": "{x?}{order?}", "deadline": "{x?}",
         "steps": [{"for_each": "lines", "step": "{@index}", "kind": "move", "load": "{@value}", "to": "{sku?}A"}]},
        {**CANCEL, "when": [{"field": "x", "exists": True}]},
    )  # fmt: skip
    try:
        for request_id, request in made(record, *rules):
            assert request_id
            assert isinstance(request, CreateOrder | CancelOrder)
    except Unmapped as refused:
        reason = str(refused)
    else:
        reason = "done"
    assert reason


def test_a_path_through_what_has_no_keys_finds_nothing() -> None:
    for path in ("a.b", "a.0", "b.1", "b.x", "b.-1", "b.99999999999999999999"):
        record: dict[str, object] = {"a": "text", "b": ["x"]}
        assert find(parse_path(path), Scope(record, record, "")) is MISSING


# --- numbers, times, conditions ---


@pytest.mark.parametrize(
    ("value", "spec", "number"),
    [
        ("2", {}, 2), (2, {}, 2), (2.0, {}, 2), ("2.0", {}, 2), ("1.200,00", {"decimal": ",", "thousands": "."}, 1200),
        ("1,200", {"thousands": ","}, 1200), ("-3", {}, -3), ("", {"default": 4}, 4), ("A", {"values": {"A": 1}}, 1),
        ("Z", {"values": {"A": 1}, "otherwise": 5}, 5),
    ],
)  # fmt: skip
def test_a_whole_number_is_read(value: object, spec: dict[str, Any], number: int) -> None:
    rule = {"request": "change_order", "order": "A", "priority": {"from": "{p}", **spec}}
    assert made({"p": value}, rule) == [("id", ChangeOrder("A", priority=number))]


@pytest.mark.parametrize(
    ("value", "spec", "part"),
    [
        ("x", {}, "'x' is no number"), ("1.5", {}, "not a whole number"), ("1.200,00", {}, "no number"),
        ("1.5", {"decimal": ","}, "no number"), ("1_0", {}, "no number"), ("9" * 30, {}, "64 bits"),
        ("1e999", {}, "no number"), ("Infinity", {}, "no number"), ("", {}, "not a number"), ("٣", {}, "no number"),
        ("9" * 99, {}, "no number"), ("Z", {"values": {"A": 1}}, "none of A"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_named(value: str, spec: dict[str, Any], part: str) -> None:
    rule = {"request": "change_order", "order": "A", "priority": {"from": "{p}", **spec}}
    assert (found := reason_of({"p": value}, rule)).startswith("rule 1 (change_order), priority: ")
    assert part in found


def due(value: object, **spec: Any) -> int | None:
    request = one({"t": value}, request="change_order", order="A", deadline={"from": "{t?}", **spec})
    assert isinstance(request, ChangeOrder)
    return request.deadline_ns


def ns(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]


def test_times_are_read_in_their_zone() -> None:
    assert due("2026-11-30T14:00") == ns(2026, 11, 30, 13)  # the site's zone
    assert due("2026-11-30T14:00", zone="America/New_York") == ns(2026, 11, 30, 19)
    assert due("2026-11-30T14:00+05:00", zone="America/New_York") == ns(2026, 11, 30, 9)
    assert due("2026-11-30T14:00Z") == ns(2026, 11, 30, 14)
    assert due("30.11.2026 14:05", format="%d.%m.%Y %H:%M") == ns(2026, 11, 30, 13, 5)
    assert due(1764511200, format="unix_s") == 1764511200 * 10**9
    assert due("1764511200500", format="unix_ms") == 1764511200500 * 10**6
    assert due("") is None
    assert due(None) is None


def test_a_date_without_a_time_gets_the_time_of_day() -> None:
    assert due("2026-11-30") == ns(2026, 11, 30, 22, 59)
    assert due("2026-11-30", time_of_day="16:00") == ns(2026, 11, 30, 15)
    assert due("20261130", format="%Y%m%d", time_of_day="08:30") == ns(2026, 11, 30, 7, 30)


def test_summer_time_begins_and_ends() -> None:
    assert due("2026-10-25T02:30") == ns(2026, 10, 25, 0, 30)  # comes twice: the first is meant
    assert due("2026-03-29T02:30") == ns(2026, 3, 29, 1, 30)  # does not come: an hour later
    assert due("2026-07-01T12:00") == ns(2026, 7, 1, 10)


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("soon", {}), ("31.02.2026", {"format": "%d.%m.%Y"}), ("1969-12-31T00:00Z", {}), ("9999-12-31", {}),
        ("x", {"format": "unix_s"}),
        ("1e30", {"format": "unix_ms"}), ("0001-01-01T00:00+23:59", {}), ("-5", {"format": "unix_s"}),
    ],
)  # fmt: skip
def test_what_is_no_time_is_named(value: str, spec: dict[str, Any]) -> None:
    with pytest.raises(Unmapped, match=r"deadline: "):
        due(value, **spec)


def test_a_zone_that_is_unknown_here_is_told_at_the_start() -> None:
    rule = {"request": "change_order", "order": "A", "deadline": {"from": "{t}", "zone": "Europe/Atlantis"}}
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        mapping(rule)
    assert MappingSpec.model_validate({"rules": [rule]}).zones() == [
        (("rules", 0, "deadline", "zone"), "Europe/Atlantis")
    ]


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ({"equals": "a"}, "a", True), ({"equals": "a"}, " a ", True), ({"equals": "a"}, "A", False),
        ({"equals": 3}, "3", True), ({"equals": 3}, 3.0, True), ({"equals": True}, True, True),
        ({"equals": True}, 1, False), ({"equals": "a"}, None, False), ({"equals": ""}, "", True),
        ({"equals": "a"}, ["a"], False), ({"in": ["a", 2]}, 2, True), ({"in": ["a", 2]}, "b", False),
        ({"exists": True}, "x", True), ({"exists": True}, "", False), ({"exists": True}, 0, True),
        ({"exists": True}, [], False), ({"exists": False}, None, True), ({"exists": False}, False, False),
    ],
)  # fmt: skip
def test_conditions(condition: dict[str, Any], value: object, holds: bool) -> None:
    record = {"order": "A", "status": value}
    when = {**CANCEL, "when": [{"field": "status", **condition}]}
    unless = {**CANCEL, "unless": [{"field": "status", **condition}]}
    assert bool(made(record, when, unmatched="ignore")) is holds
    assert bool(made(record, unless, unmatched="ignore")) is not holds


def test_a_record_that_no_rule_is_for_is_refused_or_ignored() -> None:
    rule = {**CANCEL, "when": [{"field": "status", "equals": "x"}]}
    assert "no rule is for this record (rule 1 (cancel_order))" in reason_of({"order": "A"}, rule)
    assert made({"order": "A"}, rule, unmatched="ignore") == []


# --- requests ---


def test_every_kind_of_request_is_made() -> None:
    record = {"o": "A", "l": "L", "p": "2", "t": "2026-11-30T14:00Z", "why": "late", "codes": ["x", "", "y", "x"]}
    steps = [
        {"step": "a", "kind": "move", "load": "{l}", "to": "R"},
        {
            "step": "b",
            "kind": "work",
            "load": "{l}",
            "to": "W",
            "skill": "pick",
            "recipe": "r",
            "after": ["{@previous}"],
        },
    ]
    wanted_steps = (
        StepRequest("a", "move", "L", "R"),
        StepRequest("b", "work", "L", "W", "pick", "r", ("a",)),
    )
    at = ns(2026, 11, 30, 14)
    codes = [{"from": "{@value}", "for_each": "codes"}, "{none?}"]
    cases: list[tuple[dict[str, Any], Request]] = [
        ({"request": "create_order", "order": "{o}", "steps": steps, "priority": "{p}", "deadline": "{t}"},
         CreateOrder("A", wanted_steps, 2, at)),
        ({"request": "create_order", "order": "{o}", "steps": steps[:1]}, CreateOrder("A", wanted_steps[:1])),
        ({"request": "change_order", "order": "{o}", "steps": steps, "version": 4},
         ChangeOrder("A", steps=wanted_steps, version=4)),
        ({"request": "cancel_order", "order": "{o}", "reason": "{why}"}, CancelOrder("A", "late")),
        ({"request": "hold_order", "order": "{o}", "reason": "{why}"}, HoldOrder("A", True, "late")),
        ({"request": "hold_order", "order": "{o}", "hold": False}, HoldOrder("A", False)),
        ({"request": "announce_load", "load": "{l}", "location": "R", "barcodes": codes},
         AnnounceLoad("L", "R", ("x", "y"))),
        ({"request": "remove_load", "load": "{l}", "reason": "{why}"}, RemoveLoad("L", "late")),
    ]  # fmt: skip
    for rule, request in cases:
        assert made(record, rule) == [("id", request)]


def test_a_list_gives_a_request_for_each_entry_and_a_slash_leads_out_of_it() -> None:
    record = {"gate": "R1", "totes": [{"id": "a", "bad": False}, {"id": "b", "bad": True}, {"id": "c", "bad": False}]}
    rule = {
        "request": "announce_load", "for_each": "totes", "when": [{"field": "bad", "equals": False}],
        "load": "{id}-{@index}", "location": "{/gate}",
    }  # fmt: skip
    assert made(record, rule) == [("id", AnnounceLoad("a-1", "R1")), ("id.2", AnnounceLoad("c-3", "R1"))]
    assert "totes is 7, not a list" in reason_of({"totes": 7}, rule)
    assert "no totes: it has nothing" in reason_of({}, rule)
    assert made({}, {**rule, "for_each": "totes?"}, unmatched="ignore") == []
    assert made({"totes": None}, rule, unmatched="ignore") == []


def test_steps_come_from_lists_in_lists() -> None:
    rule = {
        "request": "create_order", "for_each": "orders", "order": "{no}",
        "steps": [{"for_each": "lines", "step": "{@value}", "kind": "move", "load": "{/load}", "to": "R",
                   "after": ["{@previous}"]}],
    }  # fmt: skip
    found = made({"load": "L", "orders": [{"no": 1, "lines": ["x", "y"]}, {"no": 2, "lines": ["z"]}]}, rule)
    first, second = (request for _, request in found)
    assert isinstance(first, CreateOrder)
    assert isinstance(second, CreateOrder)
    assert [(step.step, step.after) for step in first.steps] == [("x", ()), ("y", ("x",))]
    assert [(step.step, step.after) for step in second.steps] == [("z", ())]


def test_an_order_without_steps_or_with_too_many_is_refused() -> None:
    rule = {
        "request": "create_order", "order": "A",
        "steps": [{"for_each": "lines", "step": "{@index}", "kind": "move", "load": "L", "to": "R"}],
    }  # fmt: skip
    assert "gives no step" in reason_of({"lines": []}, rule)
    assert "more than 64 steps" in reason_of({"lines": [{}] * 65}, rule)


def test_all_rules_that_fit_are_used_and_one_that_fails_means_none() -> None:
    rules = ({"request": "remove_load", "load": "{load}"}, CANCEL)
    assert made({"load": "L", "order": "A"}, *rules) == [("id", RemoveLoad("L")), ("id.2", CancelOrder("A"))]
    assert reason_of({"load": "L"}, *rules).startswith("rule 2 (cancel_order), order: order is not there")


def test_output_of_one_record_is_bounded() -> None:
    rule = {"request": "remove_load", "for_each": "loads", "load": "{@value}"}
    assert len(made({"loads": [str(n) for n in range(REQUESTS_MAX)]}, rule)) == REQUESTS_MAX
    assert f"more than {REQUESTS_MAX} requests" in reason_of({"loads": ["x"] * (REQUESTS_MAX + 1)}, rule)


# --- request ids ---


def test_request_ids_come_from_the_record_or_the_message() -> None:
    assert made({"order": "A"}, CANCEL)[0][0] == "id"
    assert made({"order": "A", "n": 5}, CANCEL, request_id="{n}-{@source}")[0][0] == "5-file.csv"
    rules = ({**CANCEL, "request_id": "own-{order}"}, CANCEL)
    assert [request_id for request_id, _ in made({"order": "A"}, *rules)] == ["own-A", "id.2"]
    assert "request_id: n is not there" in reason_of({"order": "A"}, CANCEL, request_id="{n}")
    assert "must have 1 to 200 characters" in reason_of({"order": "A"}, CANCEL, request_id="{n?}")
    assert "must have 1 to 200" in reason_of({"order": "A", "n": "x" * 201}, CANCEL, request_id="{n}")


def test_the_same_request_id_twice_in_a_record_is_refused() -> None:
    rule = {"request": "remove_load", "for_each": "loads", "load": "{@value}", "request_id": "same"}
    assert "comes twice in one record" in reason_of({"loads": ["a", "b"]}, rule)


# --- groups ---


def test_records_that_belong_together_become_one() -> None:
    rows: list[dict[str, object]] = [{"o": "A", "l": 1}, {"o": "A", "l": 2}, {"o": "B", "l": 1}, {"o": "A", "l": 3}]
    found = list(mapping(CANCEL, group_by=["o"]).grouped(rows))
    assert [(record["o"], [row["l"] for row in record["rows"]]) for record in found] == [  # type: ignore[attr-defined]
        ("A", [1, 2]), ("B", [1]), ("A", [3]),
    ]  # fmt: skip
    assert list(mapping(CANCEL).grouped(rows)) == rows
