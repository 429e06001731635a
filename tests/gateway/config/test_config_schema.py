"""The committed schemas are today's, and accept what we ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.shell.config import json_schema, schema_text

CONFIG = Path(__file__).parents[3] / "config"
FILES = [("site", path) for path in sorted((CONFIG / "demo").glob("*.yaml"))] + [
    ("profile", path) for path in sorted((CONFIG / "profiles").glob("*.yaml"))
]


@pytest.mark.parametrize("kind", ["site", "profile"])
def test_the_committed_schema_is_todays(kind: Literal["site", "profile"]) -> None:
    path = CONFIG / f"{kind}.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(kind), f"write what `stellwerk schema` prints to {path.name}"
    Draft202012Validator.check_schema(json.loads(schema_text(kind)))


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[path.stem for _, path in FILES])
def test_shipped_files_name_their_schema_and_fit_it(kind: Literal["site", "profile"], path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema=../{kind}.schema.json\n")
    assert list(Draft202012Validator(json_schema(kind)).iter_errors(yaml.safe_load(text))) == []


def test_profile_files_are_named_like_their_profile() -> None:
    for path in sorted((CONFIG / "profiles").glob("*.yaml")):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["profile"] == path.stem


def device(**changes: Any) -> dict[str, Any]:
    spec = {"id": "W", "type": "agv", "driver": "vda5050", "profile": "p", "home": "H",
            "connection": {"manufacturer": "m", "serial": "s"}}  # fmt: skip
    return {"devices": [spec | changes]}


@pytest.mark.parametrize(
    ("document", "good"),
    [
        (device(), True),
        (device(speed_max_mm_s=5), True),
        (device(speed_max_mm_s="${SPEED:-5}"), True),
        (device(speed_max_mm_s="fast"), False),
        (device(home="${HOME_NODE}"), True),
        (device(home="H 1"), False),
        (device(hom="H"), False),
        (device(type="${TYPE}"), False),
        ({"nonsense": 1}, False),
        ({}, True),
    ],
)
def test_variables_may_stand_where_values_are_asked_for(document: dict[str, Any], good: bool) -> None:
    assert Draft202012Validator(json_schema()).is_valid(document) is good
