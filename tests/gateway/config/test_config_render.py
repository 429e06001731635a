"""What people and editors get to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.shell.config import Problem, as_json, as_text, load, run_check


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_text_shows_line_caret_and_hint(tmp_path: Path) -> None:
    path = written(tmp_path, "site: {id: s, name: S}\npeople:\n  - {id: anna, skils: [x]}\n  - {id: ben}\n")
    loaded = load(path, {})
    assert as_text(loaded.problems, loaded.sources) == (
        f"{path}:3:16: person anna: unknown key 'skils'\n"
        "      - {id: anna, skils: [x]}\n"
        "                   ^^^^^\n"
        "    hint: did you mean 'skills'?\n"
        "\n"
        f"{path}:4:6: person ben: 'skills' is missing\n"
        "      - {id: ben}\n"
        "         ^^\n"
        "    hint: add 'skills:'\n"
        "\n"
        "2 errors in 1 file\n"
    )


def test_the_caret_stands_below_wide_characters_and_after_tabs(tmp_path: Path) -> None:
    path = written(tmp_path, "site: {id: s, name: '仓库\té', nme: x}\n")
    loaded = load(path, {})
    lines = as_text(loaded.problems, loaded.sources).split("\n")
    assert lines[1] == "    site: {id: s, name: '仓库 é', nme: x}"
    # two wide characters take two columns more than their number
    assert lines[2] == " " * (lines[1].index("nme") + 2) + "^^^"


def test_a_long_line_is_cut_around_the_place(tmp_path: Path) -> None:
    path = written(tmp_path, "site: {id: s, name: '" + "x" * 500 + "', nme: y, z: '" + "x" * 500 + "'}\n")
    loaded = load(path, {})
    lines = as_text(loaded.problems, loaded.sources).split("\n")
    assert len(lines[1]) < 180
    start = lines[2].index("^")
    assert lines[1][start : start + 3] == "nme"


def test_json_for_editors(tmp_path: Path) -> None:
    path = written(tmp_path, "site: {id: s, name: S}\npeople:\n  - {id: anna, skills: [x], age: 7}\n")
    loaded = load(path, {})
    assert json.loads(as_json(loaded.problems)) == [
        {
            "file": str(path),
            "line": 3,
            "column": 29,
            "end_column": 32,
            "message": "person anna: unknown key 'age'",
            "hint": "the keys here are id, name, skills",
            "severity": "error",
        }
    ]


def test_many_problems_are_counted_not_listed() -> None:
    problems = [Problem("a", n, 1, 2, "wrong") for n in range(1, 1501)]
    text = as_text(problems, {})
    assert "… and 500 more\n" in text
    assert text.endswith("1500 errors in 1 file\n")


def test_run_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "site: {id: s, name: '${STELLWERK_TEST_NAME}'}\n")
    monkeypatch.delenv("STELLWERK_TEST_NAME", raising=False)
    code, text = run_check(path, "text")
    assert code == 1
    assert "STELLWERK_TEST_NAME is not set" in text
    assert text.endswith("1 error in 1 file\n")
    monkeypatch.setenv("STELLWERK_TEST_NAME", "Hall")
    assert run_check(path, "text") == (0, f"{path}: no errors. Site 's': 0 devices, 0 locations, 0 nodes, 0 profiles\n")
    assert run_check(path, "json") == (0, "[]\n")
    assert run_check(path, "xml")[0] == 2
