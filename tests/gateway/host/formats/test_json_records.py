"""JSON: what is read, and every refusal with its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.host.formats import READERS, Limits, Unreadable
from gateway.host.formats.json_records import read

LIMITS = Limits()


def test_one_object(sample: Callable[[str], bytes]) -> None:
    [record] = READERS["json"](sample("one.json"), LIMITS)
    assert record["note"] == "Größe \U0001f600"
    assert (record["priority"], record["weight_kg"], record["gift"], record["deadline"]) == (2, 12.5, False, None)


def test_a_list_with_a_byte_order_mark(sample: Callable[[str], bytes]) -> None:
    assert [record["order"] for record in read(sample("list.json"), LIMITS)] == ["O-1", "O-2"]


def test_a_path_to_a_list(sample: Callable[[str], bytes]) -> None:
    assert read(sample("nested.json"), LIMITS, "data.orders") == [{"order": "O-1"}, {"order": "O-2"}]


def test_an_empty_list_has_no_records() -> None:
    assert read(b"[]", LIMITS) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("data.lines", "document.data: has no 'lines'"),
        ("batch", "document.batch: a number, not a list"),
        ("batch.orders", "document.batch: has no 'orders'"),
        ("data", "document.data: a object, not a list"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, reason: str, sample: Callable[[str], bytes]) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(sample("nested.json"), LIMITS, path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "message: empty"),
        (b" \n", "message: empty"),
        (b'{"a": 1', "line 1, column 8: no JSON"),
        (b'{"a": 1}\n{"a": 2}', "line 2, column 1: no JSON"),
        (b'[{"a": 1},\n 7]', r"document\[1\]: a number, not an object"),
        (b"7", "document: a number, not a list"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c': comes twice"),
        (b'{"a": [1, NaN]}', r"document\.a\[1\]: no finite number"),
        (b'{"a": -Infinity}', r"document\.a: no finite number"),
        (b'{"a": 1e999}', r"document\.a: no finite number"),
        (b'{"a": 9223372036854775808}', r"document\.a: .* more than 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"a": "\xfc"}', "byte 7: 0xfc is not utf-8"),
        ('{"a": 1}'.encode("utf-16"), "byte 0: written in UTF-16"),
        (b'{"a": "\\ud800"}', r"document\.a: half a surrogate pair"),
        (b'{"\\udc00": 1}', "document: half a surrogate pair"),
        (b'{"a": "x\\u0000"}', r"document\.a: holds a NUL"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 32 levels"),
        (b"[" * 200_000, "deeper than 32 levels"),
        (b'{"a": "' + b"x" * 10_001 + b'"}', r"document\.a: text of 10001 characters, at most 10000"),
        (b" " * (4 * 1024 * 1024 + 1), "at most 4194304"),
        (b"[" + b"{}," * 10_000 + b"{}]", "10001 records, at most 10000"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(1001)) + b"}", "1001 keys, at most 1000"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_refusals_name_the_place(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read(data, LIMITS)
    assert caught.value.way_on
    assert len(str(caught.value)) < 500
