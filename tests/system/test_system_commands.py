"""The commands that end by themselves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "demo"
BAD_SITE = """\
site:
  id: bad
  name: Bad
locations:
  - {id: RACK-1, kind: rack, capacity: many}
  - {id: RACK-1, kind: shelf}
"""


async def stellwerk(house: Any, *arguments: str | Path) -> tuple[int, str, str]:
    found: tuple[int, str, str] = await house.run(house.stellwerk, *arguments)
    return found


async def test_version_check_and_schemas(house: Any) -> None:
    version, check, site_schema, profile_schema = await asyncio.gather(
        stellwerk(house, "version"),
        stellwerk(house, "check", DEMO),
        stellwerk(house, "schema"),
        stellwerk(house, "schema", "--profile"),
    )
    assert version[0] == 0
    assert version[1].strip()[0].isdigit()
    assert check[0] == 0, check
    for answer, shipped in ((site_schema, "site.schema.json"), (profile_schema, "profile.schema.json")):
        assert answer[0] == 0
        assert json.loads(answer[1]) == json.loads((ROOT / "config" / shipped).read_text("utf-8"))
        Draft202012Validator.check_schema(json.loads(answer[1]))


async def test_a_bad_site_is_refused_with_every_place_of_its_errors(house: Any, tmp_path: Path) -> None:
    site, data, nowhere = tmp_path / "bad.yaml", tmp_path / "data", tmp_path / "nowhere"
    site.write_text(BAD_SITE)
    check, run, demo = await asyncio.gather(
        stellwerk(house, "check", site, "--format", "json"),
        stellwerk(house, "run", site, "--data", data),
        stellwerk(house, "demo", "--site", nowhere, "--orders", "1", "--exit", "--data", tmp_path / "demo"),
    )
    assert check[0] == run[0] == 1
    json.loads(check[1])
    assert f"{site}:5:" in run[2]
    assert f"{site}:6:" in run[2]
    assert not data.exists(), "a site that is refused must not leave a journal behind"
    assert demo[0] == 2
    assert "stellwerk demo:" in demo[2]
    assert str(nowhere) in demo[2]
    assert not any("Traceback" in out + said for _, out, said in (check, run))


async def test_a_data_folder_that_cannot_be_used_is_named(house: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "inbox").write_text("no folder")
    folders = (tmp_path / "file", tmp_path / "half")
    answers = await asyncio.gather(*(stellwerk(house, "run", DEMO, "--data", folder) for folder in folders))
    for folder, (code, _, said) in zip(folders, answers, strict=True):
        assert code == 2
        assert str(folder) in said
        assert "Traceback" not in said
