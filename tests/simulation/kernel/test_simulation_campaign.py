"""Many runs: what they add up to, and how a failing one is shrunk to the fault that matters."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from planted import DEMO, built, forget_synced

from gateway.simulation import campaign, faults
from gateway.simulation.campaign import Figures, Plan, SiteUnusable, run_all, run_one, shrink
from gateway.simulation.faults import KINDS, WARM_UP_S, chosen
from gateway.simulation.run import TROUBLE_SHARE, Options, Outcome
from gateway.simulation.watch import Violation

MIXED = Options(hours=0.05, kinds=("power_cut", "config_invalid", "host_duplicate", "operator_absent"), fault_mean_s=12)


# --- shrinking ---


def test_a_failing_run_is_shrunk_to_the_fault_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(DEMO, (), 1, 20, MIXED)
    forget_synced(monkeypatch)
    failed = next(o for o in run_all(plan) if o.violation is not None and len(o.timetable) > 3)
    told: list[int] = []
    least = shrink(plan, failed, told.append)
    assert [fault.kind for fault in least.timetable] == ["power_cut"]
    assert least.timetable[0] in failed.timetable
    assert least.violation is not None
    assert failed.violation is not None
    assert least.violation.checker == failed.violation.checker
    assert told == sorted(told, reverse=True)
    assert told[-1] == 1
    again = run_one(replace(plan, options=replace(MIXED, keep=(least.timetable[0].index,))), failed.seed)
    assert again.digest == least.digest


def test_a_run_that_fails_without_any_fault_is_shrunk_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "run_one", lambda plan, seed: _failing(seed, plan.options.keep))
    told: list[int] = []
    assert shrink(Plan(DEMO, (), 1, 1, MIXED), _failing(1, tuple(range(9))), told.append).timetable == ()
    assert told[-1] == 0


def test_shrinking_ends_after_so_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every twentieth fault is needed, so that most tries are in vain."""
    runs: list[int] = []

    def run_one_(plan: Plan, seed: int) -> Outcome:
        runs.append(seed)
        keep = plan.options.keep or ()
        return _failing(seed, keep) if set(range(0, 200, 20)) <= set(keep) else Outcome(seed)

    monkeypatch.setattr(campaign, "run_one", run_one_)
    least = shrink(Plan(DEMO, (), 1, 1, MIXED), _failing(1, tuple(range(200))), lambda _: None)
    assert len(runs) == campaign.SHRINK_RUNS_MAX
    assert len(least.timetable) < 200


def test_another_rule_that_breaks_on_the_way_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "run_one", lambda plan, seed: _failing(seed, plan.options.keep, "lanes"))
    failed = _failing(1, (0, 1, 2, 3))
    assert shrink(Plan(DEMO, (), 1, 1, MIXED), failed, lambda _: None) is failed


def _failing(seed: int, keep: tuple[int, ...] | None, checker: str = "orders") -> Outcome:
    left = tuple(faults.Fault(index, "crash", float(index)) for index in keep or ())
    return Outcome(seed, Violation(checker, 5 * 10**9, "it is gone", ("an event",)), timetable=left)


# --- the timetable ---


def test_faults_that_are_left_keep_their_time_and_device() -> None:
    dense = Options(hours=0.25, kinds=tuple(KINDS), fault_mean_s=5)
    whole = built(3, dense).faults
    assert built(3, replace(dense, keep=(1, 4, 30))).faults == tuple(whole[i] for i in (1, 4, 30))
    assert built(3, replace(dense, keep=())).faults == ()


def test_all_faults_are_over_when_the_hours_for_trouble_are() -> None:
    found = built(3, Options(hours=0.25, kinds=tuple(KINDS), fault_mean_s=2)).faults
    assert [fault.index for fault in found] == list(range(len(found)))
    assert {fault.kind for fault in found} == set(KINDS)
    until_s = 0.25 * 3600 * TROUBLE_SHARE
    for fault in found:
        kind = KINDS[fault.kind]
        assert WARM_UP_S <= fault.at_s < until_s
        assert fault.at_s + fault.lasts_s <= until_s + 0.001
        assert fault.lasts_s <= kind.lasts_s[1]
        assert kind.number[0] <= fault.number <= kind.number[1]
        assert bool(fault.device) == (kind.strikes != (faults.SITE,)), fault
        assert f"fault {fault.index} at " in str(fault)


def test_kinds_are_chosen_by_name() -> None:
    assert chosen("all") == tuple(KINDS)
    assert chosen("none") == ()
    assert chosen(" jam, crash ,jam,") == ("jam", "crash")


@pytest.mark.parametrize("text", ["jam,explosion", "ALL", "jam;crash"])
def test_an_unknown_kind_is_refused_with_its_name_and_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="unknown") as refused:
        chosen(text)
    unknown = text.removeprefix("jam,") if "," in text else text
    assert f"unknown {unknown};" in str(refused.value)
    assert all(kind in str(refused.value) for kind in KINDS)


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_list_of_kinds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="empty list; known are all, none, loss"):
        chosen(text)


# --- figures ---


def test_figures_add_up() -> None:
    plan = Plan(DEMO, (), 7, 3, Options(kinds=("jam", "crash", "no_read")))
    figures = Figures(plan)
    figures.add(_outcome(7, Counter(jam=2), Counter(finished=4), quiet_s=10.0))
    figures.add(_outcome(8, Counter(jam=1, crash=1), Counter(finished=1, failed=1), quiet_s=99.96))
    figures.add(replace(_failing(9, (4,)), real_s=1.0, simulated_s=600.0, inputs=100, digest="c"))
    found = figures.as_dict()
    assert (found["seeds"], found["first"], found["sim_hours"], found["core_s"]) == (3, 7, 1.167, 5.0)
    assert (found["inputs"], found["inputs_per_s"], found["times_real_time"]) == (2100, 420.0, 840.0)
    assert found["faults"] == {"crash": 1, "jam": 3}
    assert found["faults_total"] == 4
    assert found["never_fired"] == ["no_read"]
    assert found["orders"] == {"failed": 1, "finished": 5}
    assert (found["crashes"], found["power_cuts"], found["sorted"], found["retries"]) == (6, 2, 8, 10)
    assert (found["compared"], found["resolved"], found["moved"]) == (12, 14, 16)
    assert found["quiet_after_s_max"] == 100.0
    assert found["violations"] == 1
    assert found["violated"] == [
        {"seed": 9, "checker": "orders", "at_s": 5.0, "text": "it is gone", "faults": ["fault 4 at 4.0 s: crash 0"]}
    ]


def test_figures_of_no_run_are_zero() -> None:
    found = Figures(Plan(DEMO, (), 1, 1, Options())).as_dict()
    assert (found["seeds"], found["inputs_per_s"], found["times_real_time"], found["violations"]) == (0, 0.0, 0.0, 0)


def test_the_digest_of_figures_goes_over_the_runs_in_their_order() -> None:
    def digest(*digests: str) -> str:
        figures = Figures(Plan(DEMO, (), 1, 2, Options()))
        for seed, text in enumerate(digests):
            figures.add(Outcome(seed, digest=text))
        return str(figures.as_dict()["digest"])

    assert digest("a", "b") == digest("a", "b") != digest("b", "a")


def _outcome(seed: int, struck: Counter[str], orders: Counter[str], quiet_s: float) -> Outcome:
    return Outcome(
        seed, simulated_s=1800.0, real_s=2.0, inputs=1000, crashes=3, power_cuts=1, faults=struck, orders=orders,
        sorted=4, retries=5, compared=6, resolved=7, moved=8, quiet_after_s=quiet_s, digest=str(seed),
    )  # fmt: skip


# --- sites that can't be simulated ---


@pytest.fixture
def own_site(tmp_path: Path) -> Path:
    """A copy of the demo site."""
    shutil.copytree(DEMO, tmp_path / "site")
    return tmp_path / "site"


def test_a_site_with_errors_is_refused_with_all_of_them(own_site: Path) -> None:
    devices = own_site / "devices.yaml"
    devices.write_text(devices.read_text().replace("zones: 12", "zones: twelve", 1))
    with pytest.raises(SiteUnusable, match=r"devices\.yaml:"):
        next(run_all(Plan(own_site, (), 1, 1, Options(hours=0.05))))


def test_a_site_without_a_sort_plan_is_refused(own_site: Path) -> None:
    work = next(path for path in own_site.glob("*.yaml") if "sort_plan:" in path.read_text())
    lines = work.read_text().splitlines()
    begin = lines.index("sort_plan:")
    end = next(i for i in range(begin + 1, len(lines)) if lines[i] and not lines[i].startswith((" ", "#")))
    work.write_text("\n".join(lines[:begin] + lines[end:]))
    with pytest.raises(SiteUnusable, match="has no sort plan: the simulated hosts order sorts; see config/demo"):
        next(run_all(Plan(own_site, (), 1, 1, Options(hours=0.05))))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteUnusable, match="nowhere"):
        next(run_all(Plan(tmp_path / "nowhere", (), 1, 1, Options(hours=0.05))))
