"""Does the gateway lose or repeat anything when it is killed? SIGKILL of the real process, again and again.

    python -m bench.crash [--kills N] [--seed S] [--speed X] [--open N] [--json FILE] [--data FOLDER]

A simulated plant (Modbus, OPC UA, MQTT on loopback) runs as a process of its own and waits for nobody. `stellwerk run
config/demo` runs beside it, takes orders through its folder channel, and is killed at chosen moments: while it starts,
in traffic, right after an answer, right after a request. After each kill it is started again; what was not answered is
sent again under the same request id, and some of what was. An outside ledger keeps each answer that was read. At the
end all must balance: every acknowledged order in exactly one terminal state, every repeated answer the same, nothing
executed twice by the PLCs' and vehicles' own counters, no load lost or elsewhere than booked. Exit code 1 where not.

The seed gives orders, work and the moments meant; what the two processes are just doing then is the machine's affair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.crash_course import MOMENTS, Course, Report
from bench.crash_host import OPEN_MAX
from gateway.shell.journal import JournalError

KILLS = 50
SPEED = 10.0
SHOWN_MAX = 10


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 where the ledger does not balance or the end was not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=SPEED, help="how fast the plant's time goes")
    parser.add_argument("--open", type=int, default=OPEN_MAX, help="orders under way at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep journal, files and logs there")
    options = parser.parse_args(arguments)
    data = options.data or Path(tempfile.mkdtemp(prefix="bench-crash-"))
    course = Course(data, options.seed, options.speed, options.open, lambda text: print(text, flush=True))
    try:
        report = asyncio.run(course.run(options.kills))
        numbers = as_json(report)
        print(as_text(report))
    except (RuntimeError, OSError, JournalError) as problem:
        sys.stderr.write(f"the bench did not come to its balance: {problem!r}\n")
        report, numbers = Report(), {"balanced": False, "problem": repr(problem)}
    if options.json is not None:
        numbers = {"seed": options.seed, "speed": options.speed, **numbers}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    if not report.good:
        print(f"everything is kept in {data}")
    elif options.data is None:
        shutil.rmtree(data)
    return 0 if report.good else 1


def as_json(report: Report) -> dict[str, Any]:
    """The figures, and by name what is wrong."""
    balance, ready_s = report.balance, report.ready_s
    return {
        "kills": len(report.kills),
        "kill_moments": {moment: sum(kill.moment == moment for kill in report.kills) for moment in MOMENTS},
        "killed_before_ready": sum(not kill.ready for kill in report.kills),
        "killed_at_age_s": [round(kill.age_s, 2) for kill in report.kills],
        "restarts": {
            "starts": report.starts,
            "ready": len(ready_s),
            "ready_s_median": round(statistics.median(ready_s), 2) if ready_s else None,
            "ready_s_max": round(max(ready_s), 2) if ready_s else None,
            "inputs_replayed_max": report.replayed_max,
        },
        "orders": {
            "acknowledged": balance.acknowledged,
            **{end: balance.ends[end] for end in ("finished", "failed", "cancelled")},
            "unended": len(balance.unended),
            "lost": len(balance.lost),
            "doubled": len(balance.doubled),
            "uninvited": len(balance.uninvited),
        },
        "requests": {
            "sent": report.requests,
            "refused": dict(report.refused),
            "unanswered": len(balance.unanswered),
            "resent_unanswered": report.resent_unanswered,
            "resent_answered": report.resent_answered,
            "resent_with_other_content": report.forged,
            "duplicate_answers": report.answers_compared,
            "duplicate_answers_that_differ": len(balance.answers_differ),
        },
        "commands": {"executed": balance.executed, "executed_twice": balance.executed_twice},
        "work": balance.work,
        "loads": {
            "put": balance.loads,
            "lost": len(balance.loads_lost),
            "misplaced": len(balance.loads_misplaced),
        },
        "wrong": balance.wrong(),
        "bad_stops": report.bad_stops,
        "complaints": report.complaints[:SHOWN_MAX],
        "balanced": report.good,
        "wall_s": round(report.wall_s, 1),
    }


def as_text(report: Report) -> str:
    """For the terminal."""
    numbers = as_json(report)
    orders, requests, restarts = numbers["orders"], numbers["requests"], numbers["restarts"]
    loads, commands = numbers["loads"], numbers["commands"]
    moments = ", ".join(f"{count} {moment}" for moment, count in numbers["kill_moments"].items())
    rows = [
        ("kills", f"{numbers['kills']}: {moments}; {numbers['killed_before_ready']} before it was ready"),
        ("restarts", f"ready after {restarts['ready_s_median']} s (median), {restarts['ready_s_max']} s (longest); "
                     f"up to {restarts['inputs_replayed_max']} inputs replayed"),
        ("orders", f"{orders['acknowledged']} acknowledged: {orders['finished']} finished, {orders['failed']} failed, "
                   f"{orders['cancelled']} cancelled, {orders['unended']} open"),
        ("", f"{orders['lost']} lost, {orders['doubled']} doubled, {orders['uninvited']} uninvited"),
        ("requests", f"{requests['sent']} sent, {requests['unanswered']} unanswered, refused {requests['refused']}"),
        ("sent again", f"{requests['resent_unanswered']} unanswered, {requests['resent_answered']} answered, "
                       f"{requests['resent_with_other_content']} with other content"),
        ("", f"{requests['duplicate_answers']} answers compared, {requests['duplicate_answers_that_differ']} differ"),
        ("work", ", ".join(f"{count} {kind}" for kind, count in report.balance.work.items())),
        ("commands", f"{commands['executed']} executed, {commands['executed_twice']} executed twice"),
        ("loads", f"{loads['put']} announced, {loads['lost']} lost, {loads['misplaced']} elsewhere than booked"),
        ("wall time", f"{numbers['wall_s']} s"),
        ("balance", f"WRONG: {json.dumps(numbers['wrong'], indent=1)}" if numbers["wrong"] else "good"),
        *(("bad stop", text) for text in report.bad_stops),
        *(("complaint", text) for text in numbers["complaints"]),
    ]  # fmt: skip
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
