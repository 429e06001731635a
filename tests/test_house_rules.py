"""The house rules that a machine can hold: sizes, words, dumps, swallowed errors, and who may import whom."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("gateway", "drivers", "plc_simulators", "bench")
FILES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
ALL_FILES = [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
FORBIDDEN_WORDS = {"mission", "missions", "manager", "managers", "helper", "helpers", "job", "jobs"}
ALLOWED_NAMES = {
    "AbstractContextManager": "contextlib",
    "AbstractAsyncContextManager": "contextlib",
}
"""Names with a forbidden word that a library, PackML or VDA 5050 has chosen, and which one."""
DUMPS = {"utils.py", "util.py", "common.py", "base.py", "misc.py", "helpers.py"}
WIDE = {"Exception", "BaseException"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)
every_file = pytest.mark.parametrize("path", ALL_FILES, ids=name_of)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def comments_of(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def long_functions(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"line {node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}")
    return found


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that the code itself chose or used, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.keyword(arg=str(name)) | ast.ExceptHandler(name=str(name)):
                yield line, name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield line, alias.asname or alias.name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield line, name
            case _:
                pass


def words(identifier: str) -> set[str]:
    """snake_case and CamelCase taken apart: JobList, JOB_MAX and job_list all hold the word job."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return set(re.split(r"[^a-z]+", parted.lower()))


def forbidden_names(tree: ast.Module) -> list[str]:
    return [
        f"line {line}: {name}"
        for line, name in identifiers(tree)
        if name not in ALLOWED_NAMES and words(name) & FORBIDDEN_WORDS
    ]


def silent_handlers(text: str) -> list[str]:
    """Handlers of everything that do not say what becomes of it, on their own line or the next."""
    comments = comments_of(text)
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        wide = any(kind is None or (isinstance(kind, ast.Name) and kind.id in WIDE) for kind in caught)
        told = f"{comments.get(node.lineno, '')} {comments.get(node.lineno + 1, '')}"
        # What only quietens a linter is no fate.
        if wide and not re.sub(r"noqa(: *[A-Z0-9, ]+)?", "", told).strip(" -—:"):
            found.append(f"line {node.lineno}: say in a comment what becomes of the error")
    return found


@each_file
def test_functions_and_modules_are_small(path: Path) -> None:
    assert long_functions(parsed(path)) == []
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX


@each_file
def test_no_forbidden_word_in_a_name(path: Path) -> None:
    assert forbidden_names(parsed(path)) == []
    assert not words(path.stem) & FORBIDDEN_WORDS


@every_file
def test_errors_are_not_swallowed_silently(path: Path) -> None:
    assert silent_handlers(path.read_text(encoding="utf-8")) == []


@every_file
def test_nothing_is_left_unfinished(path: Path) -> None:
    comments = comments_of(path.read_text(encoding="utf-8"))
    assert {line: text for line, text in comments.items() if UNFINISHED.search(text)} == {}


@every_file
def test_no_dump_files(path: Path) -> None:
    assert path.name not in DUMPS


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_there_is_something_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(FLOORS)


def test_nobody_imports_upwards() -> None:
    """import-linter's contracts in pyproject.toml."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the rules themselves can fail ---

BAD = """
class JobList:
    pass

def run(mission_id, *, helper=None):
    try:
        pass
    except Exception:
        pass
    except (ValueError, BaseException):  # noqa: BLE001
        pass
    except:
        pass
"""
GOOD = """
from contextlib import AbstractContextManager, contextmanager

def permission(submission, jobber):
    try:
        pass
    except Exception:  # noqa: BLE001 - fate: counted and told
        pass
    except BaseException:
        # Fate: raised again.
        raise
    except ValueError:
        pass
"""


def test_bad_code_is_found() -> None:
    assert [found.split(": ")[1] for found in forbidden_names(ast.parse(BAD))] == ["JobList", "mission_id", "helper"]
    assert len(silent_handlers(BAD)) == 3
    body = "\n".join("    pass" for _ in range(FUNCTION_LINES_MAX))
    assert len(long_functions(ast.parse(f"async def long():\n{body}\n"))) == 1
    assert UNFINISHED.search("later: " + "TO" + "DO")


def test_good_code_is_not() -> None:
    assert forbidden_names(ast.parse(GOOD)) == []
    assert silent_handlers(GOOD) == []
    body = "\n".join("    pass" for _ in range(FUNCTION_LINES_MAX - 1))
    assert long_functions(ast.parse(f"def short():\n{body}\n")) == []
