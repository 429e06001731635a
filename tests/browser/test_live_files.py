"""The live view's files themselves, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.devices.machine import Table
from gateway.devices.packml import PACKML
from gateway.host.web import BYTES_MAX, FOLDER, needed, read, state_machines

OURS = sorted((FOLDER / "js").rglob("*.js"))
LINES_MAX = 300


def test_files_are_small_and_have_no_global_and_no_other_origin() -> None:
    assert len(OURS) > 30
    for path in OURS:
        text = path.read_text()
        # Texts are data, not code: there are as many as the page has words.
        assert path.parent.name == "words" or len(text.splitlines()) <= LINES_MAX, path
        assert not re.search(r"\b(window|globalThis)\.\w+ *=[^=]", text), path
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
        assert not re.search(r"innerHTML|unsafeHTML|\beval\(", text), path


def test_every_import_leads_to_a_file() -> None:
    files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*.js")}
    for path in OURS:
        text = path.read_text()
        for found in re.findall(
            r"""(?:from|import\() ?["']([^"']+)["']|^import ["']([^"']+)["']""", text, re.MULTILINE
        ):
            target = next(filter(None, found))
            if "*" in target or "{import" in target:
                continue
            assert target.startswith("."), f"{path}: {target} is a bare name"
            assert (path.parent / target).resolve().is_file(), f"{path}: {target}"
    at_once = needed(files, "js/main.js")
    assert "vendor/lit/lit-html.js" in at_once
    assert "js/device/device_page.js" not in at_once
    assert len(at_once) == len(set(at_once))


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    def words(language: str) -> dict[str, list[str]]:
        text = (FOLDER / "js" / "words" / f"{language}.js").read_text()
        found = re.findall(r'"([\w.]+)": "((?:[^"\\]|\\.)*)"', text)
        assert len(found) == len({name for name, _ in found}), "a word twice"
        return {name: sorted(re.findall(r"\{(\w+)\}", value)) for name, value in found}

    english = words("en")
    assert english == words("de")
    wanted = {
        name for path in OURS for name in re.findall(r"""(?<![.\w])t\((?:\w+ \? )?["']([\w.]+)["']""", path.read_text())
    }
    assert len(wanted) > 100
    assert wanted <= english.keys(), wanted - english.keys()


def test_another_content_is_another_release(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<a href='/web/{release}/x.js'>{modules}</a>")
    (tmp_path / "x.js").write_text("1;")
    first, files = read(tmp_path)
    assert first in files["index.html"].data.decode()
    (tmp_path / "x.js").write_text("2;")
    second, _ = read(tmp_path)
    assert first != second
    (tmp_path / "x.exe").write_text("not served")
    assert read(tmp_path)[0] == second
    (tmp_path / "x.png").write_bytes(b"0" * (BYTES_MAX + 1))
    with pytest.raises(ValueError, match="only the live view's files belong there"):
        read(tmp_path)


def test_the_tables_told_are_the_tables_that_run() -> None:
    told = state_machines()
    assert told["packml"].rows == PACKML.rows
    assert {"agv", "conveyor zone", "sorter lane", "workstation", "order", "task"} <= told.keys()
    for name, machine in told.items():
        again = Table(name, machine.states, machine.rows, machine.initial)
        assert again.next.keys() == {(source, trigger) for trigger, source, _ in machine.rows}


def test_known_tables_have_a_place_for_each_state() -> None:
    text = (FOLDER / "js" / "device" / "places.js").read_text()
    placed = dict(re.findall(r'^  "?([\w ]+)"?: \{(.*?)\},?$', text, re.MULTILINE | re.DOTALL))
    told = state_machines()
    assert placed.keys() <= told.keys()
    for name, block in placed.items():
        assert set(re.findall(r"(\w+): \[", block)) == set(told[name].states), name
