"""The documentation against the code: links, commands, options, paths, examples, and the drawn state machines."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main
import yaml

from gateway.cli import app
from gateway.host.folder import Envelope
from gateway.shell.config import as_text, load

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
STELLWERK = re.compile(r"(?:^|[\s/(])stellwerk ((?:[a-z][a-z-]*)(?: [^|;&<>]*)?)")
PLACEHOLDER = re.compile(r"<[a-z]+>")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return [found[3] for found in FENCE.finditer(page.read_text(encoding="utf-8")) if found[2] == language]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def said_commands(page: Path) -> list[str]:
    """Every `stellwerk …` that a reader may type: in shell blocks and in code spans."""
    lines = [line.partition("#")[0] for block in blocks(page, "sh") for line in block.splitlines()]
    spans = [PLACEHOLDER.sub("PLACE", span) for span in CODE.findall(prose(page))]
    return [found[1] for text in (*lines, *spans) for found in STELLWERK.finditer(text)]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_of_tree(tree: str) -> Iterator[str]:
    """The files and folders of the README's tree: names stand before two blanks, depth by indentation."""
    parents: list[tuple[int, str]] = []
    for line in tree.splitlines():
        depth = len(line) - len(line.lstrip())
        while parents and parents[-1][0] >= depth:
            parents.pop()
        folder = parents[-1][1] if parents else ""
        names = re.match(r"\S+(?: +[\w/]+(?:\.py|/)(?= |$))*", line.strip())
        for name in names[0].split() if names else ():
            yield folder + name
            if name.endswith("/"):
                parents.append((depth, folder + name))


def problem_of_command(said: str) -> str:
    """What is wrong with a command line as the docs have it, "" when it would be understood."""
    group: Any = typer.main.get_command(app)
    name, *rest = shlex.split(said)
    command = group.commands.get(name)
    if command is None:
        return f"there is no command {name}"
    if hasattr(command, "commands"):
        # A command with commands of its own, such as `journal verify`.
        if not rest or rest[0] not in command.commands:
            return f"{name} has no command {' '.join(rest[:1])}"
        command = command.commands[rest[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in rest if word.startswith("--") and word not in known | {"--help"}]
    return f"{name} has no option {', '.join(unknown)}" if unknown else ""


# --- links and commands ---


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(target)
    assert dead == []


@each_page
def test_commands_exist(page: Path) -> None:
    assert [problem for said in said_commands(page) if (problem := problem_of_command(said))] == []


def test_there_are_commands_to_check() -> None:
    names = {said.split()[0] for page in PAGES for said in said_commands(page)}
    assert {"run", "check", "schema"} <= names


def test_wrong_commands_are_found() -> None:
    assert problem_of_command("fly config/demo") == "there is no command fly"
    assert problem_of_command("run config/demo --date x") == "run has no option --date"


@each_page
def test_make_targets_and_modules_exist(page: Path) -> None:
    text = "\n".join([*blocks(page, "sh"), *CODE.findall(prose(page))])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module) is not None, module


@each_page
def test_named_paths_exist(page: Path) -> None:
    """`gateway/…` and the like in code spans are files or folders of this checkout."""
    tops = ("gateway/", "drivers/", "plc_simulators/", "config/", "docs/", "tests/", "bench/")
    spans = [span for span in CODE.findall(prose(page)) if span.startswith(tops) and not re.search(r"[<*… ]", span)]
    assert [span for span in spans if not (ROOT / span).exists()] == []


def test_decisions_have_four_headings_and_a_number() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {page.name[:4]}: "), page
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## Context", "## Decision", "## Alternatives", "## Consequences"], page


# --- the README's tree ---


def test_the_tree_is_the_one_that_is_there() -> None:
    tree = next(block for block in blocks(ROOT / "README.md", "text") if block.startswith("gateway/\n"))
    named = list(paths_of_tree(tree))
    assert [path for path in named if not (ROOT / path).exists()] == []
    packages = {
        f"{folder.relative_to(ROOT)}/"
        for top in ("gateway", "drivers", "plc_simulators")
        for folder in [ROOT / top, *(ROOT / top).rglob("*")]
        if folder.is_dir() and (folder / "__init__.py").exists()
    }
    told = {f"{Path(path).parent}/" for path in named} | {path for path in named if path.endswith("/")}
    assert packages - told == set()
    assert {"gateway/kernel.py", "gateway/dispatch/traffic/schedule.py", "drivers/opcua/ring.py"} <= set(
        tree_modules(tree)
    )


def tree_modules(tree: str) -> Iterator[str]:
    """Files named in the tree, also those after another one's text on the same line (`registers.py: …`)."""
    folder = ""
    for line in tree.splitlines():
        if not line.startswith(" "):
            folder = line.split()[0]
        yield from (folder + name for name in re.findall(r"[\w]+\.py", line))
    yield from paths_of_tree(tree)


# --- examples ---


@each_page
def test_request_examples_are_requests(page: Path) -> None:
    for block in blocks(page, "json"):
        assert msgspec.json.decode(block, type=Envelope | list[Envelope])


def test_the_configuration_page_is_a_site(tmp_path: Path) -> None:
    """All YAML examples of the page together load without an error."""
    for number, block in enumerate(blocks(ROOT / "docs" / "configuration.md", "yaml")):
        (tmp_path / f"{number:02}.yaml").write_text(block, encoding="utf-8")
    loaded = load(tmp_path, {})
    assert loaded.site is not None, as_text(loaded.problems, loaded.sources)
    assert {device.type for device in loaded.site.devices} == {
        "conveyor", "sorter", "robot_cell", "agv", "workstation",
    }  # fmt: skip


def test_the_policies_shown_are_the_defaults() -> None:
    shown = next(block for block in blocks(ROOT / "docs" / "configuration.md", "yaml") if block.startswith("policies:"))
    loaded = load(ROOT / "config" / "demo", {})
    assert loaded.site is not None
    fields = type(loaded.site.policies).model_fields
    assert yaml.safe_load(shown)["policies"] == {name: field.default for name, field in fields.items()}


def test_the_alarm_table_is_complete() -> None:
    """Every alarm code that the code raises has its line in docs/operation.md."""
    table = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")
    told = {re.sub(r"<[a-z]+>", "*", code) for code in re.findall(r"^\| `[^`/]+/([^`]+)` \|", table, re.MULTILINE)}
    raised = set()
    for top in ("gateway", "drivers"):
        for path in (ROOT / top).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found = re.findall(r"raise_alarm\(\s*[\w.]+,\s*(f?)\"([^\"]+)\"", text)
            found += re.findall(r"ShellAlarm\(\s*[\w.]+,\s*(f?)\"([^\"]+)\"", text)
            raised |= {re.sub(r"\{[^}]*\}", "*", code) if formatted else code for formatted, code in found}
    raised.discard("* *")  # a Faulted fact: its part and code, looked at below
    assert len(raised) > 10
    assert raised - told == set()
    assert {"machine aborted", "zone * jammed", "zone * faulted", "vehicle faulted"} <= told


def test_the_state_machines_page_is_drawn_from_the_tables() -> None:
    script = ROOT / "docs" / "draw_state_machines.py"
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True
    )
    page = (ROOT / "docs" / "state-machines.md").read_text(encoding="utf-8")
    assert done.stdout == page, "run: python docs/draw_state_machines.py > docs/state-machines.md"
