"""Each driver's quality.yaml: every rule is kept and shown by a test that exists, or exempt with a reason."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCALES = sorted((ROOT / "drivers").glob("*/driver.py"))
RULES = {
    "default-deny", "writes-before-reads", "never-repeated", "reply-checked", "first-connect-retried", "reconnect",
    "stale-noticed", "bounded-queues", "cancel-clean", "one-connection", "secure-transport", "login",
    "certificate-trust", "notifications", "chunked-calls", "identity-resolved", "metrics", "capture", "doctor",
    "browse", "conformance", "independent-peer", "docs",
}  # fmt: skip
REASON_CHARACTERS_MIN = 20

each_driver = pytest.mark.parametrize("folder", [path.parent for path in SCALES], ids=lambda folder: folder.name)


def quality(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "quality.yaml").read_text(encoding="utf-8"))


def test_there_are_three_drivers() -> None:
    assert [path.parent.name for path in SCALES] == ["modbus", "opcua", "vda5050"]


@each_driver
def test_every_rule_has_its_standing(folder: Path) -> None:
    found = quality(folder)
    assert found["driver"] == folder.name
    assert set(found["rules"]) == RULES
    for rule, standing in found["rules"].items():
        match standing:
            case {"status": "done", "shown_by": str(shown)}:
                assert exists(shown), f"{rule}: {shown} is not there"
            case {"status": "exempt", "reason": str(reason)}:
                assert len(reason) >= REASON_CHARACTERS_MIN, f"{rule}: {reason!r} is no reason"
            case _:
                pytest.fail(f"{rule}: {standing} is neither done with shown_by nor exempt with a reason")


def exists(shown: str) -> bool:
    """A file, or `file::test` where the file has such a test."""
    file, _, name = shown.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    if not name:
        return True
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = name.partition("[")[0]
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == wanted for node in ast.walk(tree)
    )


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert exists("tests/drivers/test_quality.py::exists")
    assert not exists("tests/drivers/test_quality.py::nowhere")
    assert not exists("tests/drivers/nowhere.py")
