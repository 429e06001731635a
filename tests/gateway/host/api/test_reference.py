"""docs/http-api.md against the API that is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gateway.host.api.guarded import Guarded
from gateway.host.api.problem import STATUS_BY_CODE

PAGE = (Path(__file__).parents[4] / "docs" / "http-api.md").read_text(encoding="utf-8")


async def test_every_path_that_is_named_is_there_and_no_group_is_left_out(house: Any) -> None:
    paths = {re.sub(r"\{\w+\}", "{}", route.path_format) for route in house.app.routes if isinstance(route, Guarded)}
    named = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"`(?:[A-Z]+ )?(/[a-z][^`?…]*)[^`]*`", PAGE)}
    assert named - paths - {"/api/v1", "/api/v1/live"} == set()
    groups = {path.split("/")[3].partition(":")[0] for path in paths if path.startswith("/api/v1/")}
    assert groups - {path.split("/")[3].partition(":")[0] for path in named if path.count("/") > 2} == set()
    for ending in re.findall(r"`…([/:][a-z:{}/-]+)`", PAGE):
        assert any(path.endswith(re.sub(r"\{\w+\}", "{}", ending)) for path in paths), ending


def test_every_code_is_explained_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert {code: int(status) for code, status in rows.items()} == STATUS_BY_CODE
