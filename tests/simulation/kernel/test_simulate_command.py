"""`stellwerk simulate`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from planted import DEMO, forget_synced
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.simulation.faults import KINDS


def simulate(*arguments: str | float | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], catch_exceptions=False)


def test_a_clean_campaign_writes_its_figures_and_exits_0(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = simulate("--seeds", 2, "--first", 3, "--hours", 0.05, "--faults", "jam,config_invalid", "--json", out)
    assert done.exit_code == 0
    found = json.loads(out.read_bytes())
    assert {
        "seeds", "first", "sim_hours", "core_s", "times_real_time", "inputs", "inputs_per_s", "faults", "faults_total",
        "never_fired", "crashes", "power_cuts", "violations", "violated", "orders", "digest",
    } <= found.keys()  # fmt: skip
    assert (found["seeds"], found["first"], found["violations"], found["violated"]) == (2, 3, 0, [])
    assert found["sim_hours"] >= 2 * 0.05
    assert found["inputs"] > 0
    assert found["inputs_per_s"] > 0
    assert set(found["faults"]) | set(found["never_fired"]) == {"jam", "config_invalid"}
    assert f"{found['seeds']} runs, {found['sim_hours']} simulated hours" in done.stdout
    assert "0 violations" in done.stdout


def test_faults_that_never_struck_are_named() -> None:
    done = simulate("--seeds", 1, "--hours", 0.05, "--faults", "crash,jam", "--keep", "")
    assert done.exit_code == 0
    assert "never struck: jam, crash (more seeds or hours)" in done.stdout


def test_without_faults_nothing_strikes() -> None:
    done = simulate("--seeds", 1, "--hours", 0.05, "--faults", "none")
    assert done.exit_code == 0
    assert "0 faults, 0 crashes of which 0 power cuts" in done.stdout
    assert "never struck" not in done.stdout


def test_a_violation_is_told_with_seed_time_events_and_a_command_that_reproduces_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    forget_synced(monkeypatch)
    faults = "power_cut,config_invalid"
    first = _first_that_fails(faults)
    done = simulate("--seeds", 1, "--first", first, "--hours", 0.05, "--faults", faults, "--json", out)
    assert done.exit_code == 1
    told = re.search(r"VIOLATION of 'orders', seed (\d+), after (\d+\.\d{3}) s:\n  order (\S+) ", done.stdout)
    assert told is not None, done.stdout
    assert int(told[1]) == first
    # Shrunk: only the power cut is left.
    assert re.findall(r"^  fault \d+ at .*: (\w+)", done.stdout, re.MULTILINE) == ["power_cut"]
    events = done.stdout.partition("last events:\n")[2].partition("  again:")[0].splitlines()
    assert 0 < len(events) <= 25
    assert events[-1].endswith("the gateway's process starts")
    violated = json.loads(out.read_bytes())["violated"]
    assert [(v["seed"], v["checker"]) for v in violated] == [(first, "orders")]
    again = shlex.split(done.stdout.partition("  again: ")[2].splitlines()[0])
    assert again[:2] == ["stellwerk", "simulate"]
    repeated = simulate(*again[2:])
    assert repeated.exit_code == 1
    assert told[0] in repeated.stdout
    monkeypatch.undo()
    assert simulate(*again[2:]).exit_code == 0, "without the bug the same run is sound"


def _first_that_fails(faults: str) -> int:
    for seed in range(1, 20):
        asked = ("--seeds", 1, "--first", seed, "--hours", 0.05, "--faults", faults, "--no-shrink")
        if simulate(*asked).exit_code == 1:
            return seed
    pytest.fail("no seed cuts the power")


def test_another_site_is_named_in_the_command_that_reproduces(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_synced(monkeypatch)
    asked = ("--seeds", 1, "--first", _first_that_fails("power_cut"), "--hours", 0.05, "--faults", "power_cut")
    done = simulate(*asked, "--no-shrink", "--site", DEMO)
    assert done.exit_code == 1
    assert f"--no-shrink --site {DEMO}" in done.stdout


def test_a_site_with_errors_exits_2(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("site: {id: 7}\n")
    done = simulate("--seeds", 1, "--site", tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith("stellwerk simulate: ")
    assert "site.yaml:1:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--faults", "jam,explosion"), "unknown explosion"),
        (("--faults", ""), "empty list"),
        (("--keep", "1,two"), "two"),
        (("--seeds", "0"), "--seeds"),
        (("--hours", "0.01"), "--hours"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_what_can_t_be_asked_for_exits_2(arguments: tuple[str, ...], said: str) -> None:
    done = simulate(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_every_known_kind_is_named_when_one_is_unknown() -> None:
    said = re.sub(r"[│\s]+", " ", simulate("--faults", "explosion").stderr)
    assert [kind for kind in KINDS if kind not in said] == []
