"""Every example in config/channels is a site that loads, and its sample becomes requests that the demo site takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.contract import AnnounceLoad, CancelOrder, CreateOrder, RemoveLoad
from gateway.host.channels.intake import Intake
from gateway.shell.config import as_text, json_schema, load
from gateway.shell.runtime import Runtime
from gateway.site import Site

EXAMPLES = Path(__file__).parents[4] / "config" / "channels"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
WANTED: dict[str, list[tuple[type, str]]] = {
    "request-folder": [(AnnounceLoad, "T-100"), (CreateOrder, "O-1")],
    "csv-folder": [(CreateOrder, "A-4711"), (CreateOrder, "A-4712"), (CancelOrder, "A-4600")],
    "json-folder": [
        (AnnounceLoad, "340063810000000018"), (AnnounceLoad, "340063810000000025"), (RemoveLoad, "340063810000000032"),
    ],
    "mqtt": [(CreateOrder, "TR-1")],
    "table": [(CreateOrder, "P-77")],
    "edifact": [(AnnounceLoad, "TOTE-4500012345"), (CreateOrder, "4500012345")],
    "x12": [(AnnounceLoad, "TOTE-PO-88123"), (CreateOrder, "PO-88123"), (CancelOrder, "PO-88100")],
    "shopify": [(AnnounceLoad, "TOTE-#1042"), (CreateOrder, "#1042")],
    "woocommerce": [(AnnounceLoad, "TOTE-727"), (CreateOrder, "727")],
}  # fmt: skip
NOT_THERE = {"A-4600", "340063810000000032", "PO-88100"}
"""What the samples cancel or remove and the demo site has never seen."""


def example(name: str) -> Site:
    loaded = load(EXAMPLES / f"{name}.yaml", {})
    assert loaded.site is not None, as_text(loaded.problems, loaded.sources)
    return loaded.site


GUIDE = (Path(__file__).parents[4] / "docs" / "channels.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_guides_examples_load(number: int, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(f"site: {{id: x, name: X}}\n{BLOCKS[number]}", encoding="utf-8")
    loaded = load(tmp_path, {})
    assert loaded.site is not None, as_text(loaded.problems, loaded.sources)
    assert len(loaded.site.channels) == 1


def test_the_guide_has_an_example_of_each_carrier() -> None:
    found = {line.split()[-1] for block in BLOCKS for line in block.splitlines() if line.strip().startswith("kind: ")}
    assert {"folder", "mqtt", "table", "hook"} <= found


def test_there_is_an_example_of_each() -> None:
    assert sorted(WANTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_the_schema_for_editors(name: str) -> None:
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../site.schema.json\n")
    assert list(Draft202012Validator(json_schema("site")).iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_takes_its_sample(name: str, running: Runtime) -> None:
    site = example(name)
    (spec,) = site.channels
    (sample,) = EXAMPLES.glob(f"{name}.sample.*")
    for load_id in ("T-100", "T-101", "T-102"):
        await running.ask("test", load_id, AnnounceLoad(load_id, "RACK-1"))
    pieces = Intake(spec, site.site.timezone).whole(sample.read_bytes(), sample.name)
    found = [(type(p.request), getattr(p.request, "order", getattr(p.request, "load", ""))) for p in pieces]
    assert found == WANTED[name], [piece.problem for piece in pieces]
    for piece, (_, subject) in zip(pieces, found, strict=True):
        assert piece.request is not None
        reply = await running.ask(spec.id, piece.request_id, piece.request)
        # T-100 is there already, where a sample announces it: that is a correction of the same.
        assert reply.accepted is (subject not in NOT_THERE), reply.reason
