"""The whole OpenAPI document against the running API, with all of schemathesis' checks."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import httpx

from gateway.contract import AnnounceLoad, CreateOrder, HoldDevice, SignOn, StepRequest

EXAMPLES = 2
CONFIG = """
[checks]
# What fits the schema may not fit the site: a load that nobody has announced, a device that does not exist.
positive_data_acceptance.expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "422", "429", "503"]
# Beside the usual ones: heads and bodies that are too large.
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "431"
]
"""


async def test_all_of_it_does_what_it_says(served: tuple[Any, int], tmp_path: Path) -> None:
    house, port = served
    for n in range(3):
        await house.load(f"L{n}")
    steps = (StepRequest("a", "move", "L0", "RACK-2"),)
    for n, request in enumerate(
        [CreateOrder("O1", steps), CreateOrder("O2", steps), SignOn("anna", "WS1"), HoldDevice("AGV1", True),
         AnnounceLoad("has/a slash", "RACK-2")]
    ):  # fmt: skip
        assert (await house.runtime.ask("test", f"made {n}", request)).accepted
    headers = {"Authorization": f"Bearer {house.keys['admin']}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        document = await client.get("/openapi.json")
    assert document.json()["openapi"] == "3.1.0"
    (tmp_path / "openapi.json").write_bytes(document.content)
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "openapi.json",
        "--url", f"http://127.0.0.1:{port}", "--checks", "all", "-n", str(EXAMPLES), "--seed", "7", "--no-color",
        # How many of its own drafts it throws away is no matter of ours.
        "--suppress-health-check", "filter_too_much",
        "--header", f"Authorization: Bearer {house.keys['admin']}",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(100):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = told.decode("utf-8", "replace")
    assert process.returncode == 0, text[-8_000:]
    operations = sum(len(each) for each in document.json()["paths"].values())
    assert re.search(rf"Tested: {operations}\b", text), text[-3_000:]
    assert house.log.calls == [call for call in house.log.calls if call.method_name != "error"]
