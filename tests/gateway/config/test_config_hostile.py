"""Whatever a file holds: problems with a place in it, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.shell.config import as_json, as_text, load

CALM = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survive(folder: Path, raw: bytes) -> None:
    path = folder / "site.yaml"
    path.write_bytes(raw)
    loaded = load(path, {"A": "1", "B": "[x"})
    assert (loaded.site is None) == bool(loaded.problems)
    for problem in loaded.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.end_column > problem.column
        assert problem.message
    assert as_text(loaded.problems, loaded.sources)
    assert as_json(loaded.problems)


@CALM
@given(raw=st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    survive(tmp_path, raw)


PIECES = (
    "site: ", "devices: ", "- ", "{", "}", "[", "]", ", ", ": ", "\n", "  ", "\t", "&a ", "*a", "<<: ", "!!int ", "!x ",
    "'", '"', "|", ">", "#", "?", "---", "...", "%YAML 1.1\n", "${A}", "${B}", "${", "$${", "id", "type", "agv",
    "conveyor", "1", "-1", "1e999", ".nan", "true", "~", "\x85", "\u2028", "\ufeff", "é", "\U0001f3ed", "\x00", "map: ",
    "nodes: ", "runs: ", "profiles: ", "profile: ", "people: ", "sort_plan: ", "destinations: ", "policies: ", "0x",
    "0o9",
)  # fmt: skip


@CALM
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_of_yaml_pieces(tmp_path: Path, pieces: list[str]) -> None:
    survive(tmp_path, "".join(pieces).encode())


KEYS = (
    "site", "id", "name", "map", "nodes", "edges", "from", "to", "locations", "kind", "node", "devices", "type",
    "driver", "profile", "connection", "port", "zones", "runs", "lanes", "lane", "location", "home", "profiles",
    "signals", "groups", "count", "handshake", "sort_plan", "destinations", "people", "skills", "policies", "url",
    "forbidden", "agv", "x",
)  # fmt: skip
VALUES = (
    "agv", "conveyor", "sorter", "modbus", "vda5050-2.1", "stellwerk-conveyor", "0", "1", "-5", "1.5", "true",
    "null", "x", "''", "'${A}'", "'${NO}'", "{}", "[]", "9999999999999999999999", "opc.tcp://a:1",
)  # fmt: skip
FLOW = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=5).map(
            lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
        ),
    ),
    max_leaves=25,
)


@CALM
@given(entries=st.dictionaries(st.sampled_from(KEYS), FLOW, max_size=5))
def test_any_shape(tmp_path: Path, entries: dict[str, str]) -> None:
    survive(tmp_path, "".join(f"{key}: {value}\n" for key, value in entries.items()).encode())


@CALM
@given(data=st.data())
def test_a_sound_site_with_one_piece_replaced(tmp_path: Path, sound: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sound) - 1))
    length = data.draw(st.integers(0, 12))
    piece = data.draw(st.sampled_from((*PIECES, *VALUES, "")))
    survive(tmp_path, (sound[:start] + piece + sound[start + length :]).encode())


@pytest.mark.parametrize("name", ["a\x00b.yaml", "x" * 5000])
def test_paths_that_no_file_can_have(name: str) -> None:
    loaded = load(Path(name), {})
    assert loaded.site is None
    assert len(loaded.problems) == 1
