"""Files, YAML, substitution and joining: what stands before the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.shell.config import Problem, load
from gateway.shell.config.compose import NODES_MAX

SITE = "site: {id: s, name: S}\n"


def problems_of(path: Path, env: dict[str, str] | None = None) -> list[Problem]:
    loaded = load(path, env or {})
    assert (loaded.site is None) == bool(loaded.problems)
    return list(loaded.problems)


def test_the_sound_site_is_sound(expect: Any, sound: str) -> None:
    assert expect(sound) == []


def test_the_demo_site_is_sound_and_brings_its_profiles() -> None:
    loaded = load(Path(__file__).parents[3] / "config" / "demo", {})
    assert loaded.problems == ()
    assert loaded.site is not None
    names = {p.profile for p in loaded.site.profiles}
    assert names == {"stellwerk-conveyor", "stellwerk-sorter", "stellwerk-robot-cell", "vda5050-2.1"}
    assert [p.name for p in loaded.files[:4]] == ["devices.yaml", "floor.yaml", "site.yaml", "work.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site:\n▶\tid: x\n", "a tab stands where spaces"),
        ("site: {id: s, name: S▶: x}\n", "not expected here, inside"),
        ("site: S▶: x\n", "a ':' is not expected"),
        ("site: {id: s, name: $▶{NAME}}\n", "not expected here, inside"),
        ("site: {id: s, name: S}\nmap: ▶[1, 2\n", "is not closed"),
        ("site: ▶{id: s\nmap: {}\n", "not closed"),
        ("site: {id: s, name: ▶'S}\n", "never closed"),
        ("site: ▶@x\n", "cannot begin with '@'"),
        ("site: ▶%x\n", "cannot begin with '%'"),
        ("- a\n▶b: 1\n", "does not belong to the list"),
        ('site: "▶\\q"\n', "unknown escape"),
        ("▶", "the file is empty"),
        ("▶# only a comment\n", "the file is empty"),
        ("▶--- \n", "the file is empty"),
        ("▶just words\n", "must be a block of keys"),
        ("▶- a list\n", "must be a block of keys"),
        ("site: {id: s, name: S}\n▶---\nsite: {}\n", "second YAML document"),
        ("site: ▶*nowhere\n", "no anchor '&nowhere' ends before"),
        ("site: &a\n  id: ▶*a\n", "no anchor '&a' ends before"),
        ("▶[a, b]: c\n", "cannot be a key"),
        ("site: {id: s, name: S}\nmap: ▶!!python/object:os.system {}\n", "the YAML tag"),
        ("site: {id: s, name: S}\npeople: ▶!!set {}\n", "the YAML tag 'set'"),
        ("site: {id: s, name: ▶!secret S}\n", "the YAML tag '!secret'"),
        ("site: {id: s, name: ▶!!int S}\n", "'S' is no int"),
        ("site: {id: s, name: S}\n▶site: {id: t}", "'site' stands here twice"),
        ("site: {id: s, ▶id: t, name: S}\n", "stands here twice; first at"),
        ("site: {id: s, name: S, ▶<<: 5}\n", "'<<' needs a mapping"),
        ("a: 1\nx: ▶\x01\n", "control character 0x01"),
    ],
)
def test_what_is_not_yaml_or_not_ours(expect: Any, text: str, message: str) -> None:
    expect(text, message)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 10_000, "{a: " * 500, "\n".join(" " * n + "a:" for n in range(99))]
)
def test_depth_has_a_limit(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(text)
    (problem,) = problems_of(path)
    assert "nested deeper than 64 levels" in problem.message


def test_depth_through_aliases_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90)))
    (problem,) = problems_of(path)
    assert "nested deeper than 64 levels" in problem.message
    assert problem.line == 65


def test_aliases_do_not_blow_up(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    path.write_text("a0: &a0 [ha, ha, ha]\n" + laughs)
    (problem,) = problems_of(path)
    assert f"more than {NODES_MAX} values" in problem.message


def test_merge_keys_bring_defaults_and_own_keys_win(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        SITE
        + "people:\n"
        + "  - &a {id: anna, name: Anna, skills: [pick]}\n"
        + "  - {<<: *a, id: ben, name: Ben}\n"
        + "  - {<<: [{name: Cleo}, *a], id: cleo}\n"
    )
    site = load(path, {}).site
    assert site is not None
    assert [(p.id, p.name, p.skills) for p in site.people] == [
        ("anna", "Anna", ("pick",)),
        ("ben", "Ben", ("pick",)),
        ("cleo", "Cleo", ("pick",)),
    ]


def test_a_problem_in_a_merged_value_points_to_where_it_is_written(expect: Any) -> None:
    expect(SITE + "people:\n  - &a {id: anna, skills: ▶pick}\n", "'skills' must be a list, not 'pick'")


def test_words_keep_their_meaning(tmp_path: Path) -> None:
    """YAML 1.2, as editors read it: NO is Norway, 12:30 no number."""
    path = tmp_path / "site.yaml"
    path.write_text(SITE + "people:\n  - {id: NO, skills: [on, 12:30, 2026-01-01]}\n")
    site = load(path, {}).site
    assert site is not None
    assert site.people[0].id == "NO"
    assert site.people[0].skills == ("on", "12:30", "2026-01-01")


# --- ${NAME} ---


def test_variables_are_filled_in_and_read_again(breaks: Any, tmp_path: Path, sound: str) -> None:
    path = tmp_path / "site.yaml"
    text = sound.replace("connection: {host: 10.0.0.1}", 'connection:\n      port: ${PORT:-502}\n      host: "${HOST}"')
    path.write_text(text)
    for env, port, host in (
        ({"HOST": "plc"}, 502, "plc"),
        ({"HOST": "10", "PORT": "1502"}, 1502, "10"),
        ({"HOST": "a", "PORT": ""}, 502, "a"),
    ):
        loaded = load(path, env)
        assert loaded.site is not None, loaded.problems
        connection = loaded.site.devices[0].connection  # type: ignore[union-attr]
        assert (connection.port, connection.host) == (port, host)  # type: ignore[union-attr]


def test_a_variable_of_the_wrong_kind_is_told_at_its_place(breaks: Any) -> None:
    new = "connection:\n      port: ▶${PORT}"
    breaks("connection: {host: 10.0.0.1}", new, "'port' must be a whole number, not 'many'", env={"PORT": "many"})


def test_an_unset_variable(breaks: Any) -> None:
    new = "connection:\n      port: ▶${PORT}"
    breaks("connection: {host: 10.0.0.1}", new, "environment variable PORT is not set", hint="${PORT:-…}")


@pytest.mark.parametrize("bad", ["${", "${}", "${1X}", "${A:+b}", "x ${A"])
def test_a_broken_reference(breaks: Any, bad: str) -> None:
    breaks("name: Small", f"name: ▶'{bad}'", "'${' without a variable's name", env={"A": "a"})


def test_two_dollars_stand_for_one(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: {id: s, name: '$${A} $5 ${B:-}'}\n")
    site = load(path, {"A": "no"}).site
    assert site is not None
    assert site.site.name == "${A} $5 "


def test_a_value_has_a_limit(breaks: Any) -> None:
    breaks("name: Small", "name: ▶'${BIG}'", "longer than 65536 characters", env={"BIG": "x" * 70_000})


# --- files ---


def test_missing_folder_and_empty_folder(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "nowhere")
    assert "no such file or folder" in problem.message
    (problem,) = problems_of(tmp_path)
    assert "no .yaml or .yml file" in problem.message


def test_a_folder_named_like_a_file_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    os.mkfifo(tmp_path / "b.yaml")
    assert [(Path(p.file).name, p.message) for p in problems_of(tmp_path)] == [
        ("a.yaml", "not a file"),
        ("b.yaml", "not a file"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    path.chmod(0)
    (problem,) = problems_of(path)
    assert "no permission" in problem.message


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b"site: \xff", 1, 7),
        ("site: ü\nb: é".encode("latin-1"), 1, 7),
        (b"\xff\xfes\0i\0", 1, 1),
        (b"a: \xc3\xa9\nb: \xe9", 2, 4),
    ],
)
def test_not_utf8(tmp_path: Path, raw: bytes, line: int, column: int) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(raw)
    (problem,) = problems_of(path)
    assert "not UTF-8" in problem.message
    assert (problem.line, problem.column) == (line, column)


def test_a_byte_order_mark_and_windows_line_ends_are_let_pass(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xef\xbb\xbfsite:\r\n  id: s\r\n  name: S\r\nx: 1\r\n")
    (problem,) = problems_of(path)
    assert (problem.line, problem.column, problem.message) == (4, 1, "unknown key 'x'")


def test_too_large_a_file(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    (problem,) = problems_of(path)
    assert "larger than 16 MiB" in problem.message


def test_too_many_files(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number}.yaml").touch()
    (problem,) = problems_of(tmp_path)
    assert "1001 YAML files" in problem.message


# --- several files ---


def test_lists_are_joined_and_other_keys_stand_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        SITE + "map:\n  id: hall\n  nodes:\n    - {id: A, x_mm: 0, y_mm: 0}\npeople:\n  - {id: anna, skills: [x]}\n"
    )
    (tmp_path / "b.yml").write_text(
        "map:\n  nodes:\n    - {id: B, x_mm: 0, y_mm: 0}\npeople:\n  - {id: ben, skills: [y]}\nchannels:\n"
    )
    (tmp_path / "c.yaml").write_text("channels:\n  - {id: wms}\n")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    site = load(tmp_path, {}).site
    assert site is not None
    assert [n.id for n in site.map.nodes] == ["A", "B"]
    assert [p.id for p in site.people] == ["anna", "ben"]
    assert [c.id for c in site.channels] == ["wms"]

    (tmp_path / "d.yaml").write_text("map:\n  id: other\nsite: {id: t, name: T}\npolicies: {}\n")
    first, second = problems_of(tmp_path)
    where = (Path(first.file).name, first.line, first.column)
    assert where == ("d.yaml", 2, 3)
    assert first.message == f"'id' may stand once in a site; first at {tmp_path / 'a.yaml'}:3:3"
    assert second.message == f"'site' may stand once in a site; first at {tmp_path / 'a.yaml'}:1:1"


def test_a_problem_in_the_second_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SITE + "people:\n  - {id: anna, skills: [x]}\n")
    (tmp_path / "b.yaml").write_text("\npeople:\n  - {id: anna, skills: [y]}\n")
    (problem,) = problems_of(tmp_path)
    assert problem.where() == f"{tmp_path / 'b.yaml'}:3:10"
    assert f"(the other one: {tmp_path / 'a.yaml'}:3:10)" in problem.message


def test_every_unreadable_file_is_told_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("site: [")
    (tmp_path / "b.yaml").write_text("")
    (tmp_path / "c.yaml").write_text("devices:\n  - {id: W, type: workstation, location: IN-A}\n")
    assert [Path(p.file).name for p in problems_of(tmp_path)] == ["a.yaml", "b.yaml"]
