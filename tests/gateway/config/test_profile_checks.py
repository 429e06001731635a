"""Slips in profiles: seen on a site's own copy of a shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.shell.config import load

CONFIG = Path(__file__).parents[3] / "config"


def own(profile: str, sound: str, *, count: int = 6) -> str:
    """The sound site with its own copy of a shipped profile of the same name."""
    text = (CONFIG / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    entry = ["  - " + lines[next(i for i, x in enumerate(lines) if x.startswith("profile:"))]]
    entry += ["    " + line for line in lines if not line.startswith(("profile:", "#"))]
    return sound.replace("zones: 6", f"zones: {count}") + "profiles:\n" + "\n".join(entry) + "\n"


def slip(sound: str, profile: str, old: str, new: str, *, count: int = 6) -> str:
    text = own(profile, sound, count=count)
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)


@pytest.mark.parametrize("profile", ["stellwerk-conveyor", "stellwerk-sorter", "stellwerk-robot-cell", "vda5050-2.1"])
def test_the_shipped_profiles_are_sound(expect: Any, sound: str, profile: str) -> None:
    expect(own(profile, sound))


HB = "{name: hb_plc, type: uint16, table: holding, address: 0, evidence: counter}"
BOOT = "{name: boot_id, type: uint16, table: holding, address: 1}"
ARRIVALS = "{name: arrivals, type: uint16, table: holding, address: 101, evidence: counter}"
CMD_SEQ = "{name: cmd_seq, type: uint32, access: write, table: holding, address: 1007}"
TRACK = "{name: track_id, type: uint32, table: holding, address: 103}"
STALE = "stale_ms: 3000"


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (HB, HB.replace("evidence: counter", "evidence: ▶pulse"), "signal hb_plc is a pulse on a polled link",
         "evidence: counter"),
        (STALE, "stale_ms: ▶1999", "stale_ms is 1999 ms, less than two heartbeats of 1000 ms", "at least 2000"),
        (BOOT, "{name: boot_id, type: uint16, table: holding, address: ▶2}", None, ""),
        (BOOT, "{name: boot_id, type: uint16, table: holding, address: ▶1007}",
         None, "what the gateway writes and what it reads"),
        (BOOT, "{name: ▶boot_id, type: uint16}", "signal boot_id has no table and no address", "table: holding"),
        (BOOT, "{name: boot_id, type: ▶float32, table: holding, address: 5000}", "must be a whole number, not float32",
         "int16"),
        (BOOT, "{name: boot_id, type: uint16, scale: ▶0.1, table: holding, address: 1}", "a scale of 0.1", ""),
        (BOOT, "{name: boot_id, type: uint16, access: ▶write, table: holding, address: 1}",
         "is for the gateway to read, but its access is write", ""),
        (BOOT, "{name: boot_id, type: ▶uint16, table: coil, address: 1}", "where there are only bits", ""),
        (BOOT, "{name: boot_id, type: uint16, bit: ▶3, table: holding, address: 1}", "in one bit of a register", ""),
        (CMD_SEQ, "{name: ▶cmd_seq, type: uint32, table: holding, address: 1007}",
         "is for the gateway to write, but its access is read", "access: write"),
        (CMD_SEQ, "{name: cmd_seq, type: uint32, access: ▶write, table: input, address: 1007}",
         "input is read-only", ""),
        (ARRIVALS, ARRIVALS + "\n          - {name: ▶arrivals, type: uint16, table: holding, address: 105}",
         "signal zone.arrivals stands here twice", ""),
        (BOOT, BOOT + "\n      - {name: lamp, type: bool, access: write, table: coil, address: 0, bit: ▶1}",
         "an entry of table coil is one bit itself", ""),
        (BOOT, BOOT + "\n      - {name: extra, type: float32, table: holding, address: 5000, scale: ▶0}",
         "has a scale of 0", ""),
        (BOOT, BOOT + "\n      - {name: last, type: uint32, table: holding, address: ▶65535}",
         "ends at register 65536; the last one is 65535", "0-based"),
        ("stride: 8", "stride: ▶0", "'stride' is 0", ""),
    ],
)  # fmt: skip
def test_conveyor_profile(expect: Any, sound: str, old: str, new: str, message: str | None, hint: str) -> None:
    text = slip(sound, "stellwerk-conveyor", old, new)
    if message is not None:
        expect(text, message, hint=hint)
    else:
        # The later of two signals at one place is pointed at, whichever was changed.
        text = text.replace("▶", "")
        mark = "address: 2}" if "address: 2}" in new.replace("▶", "") else "address: 1007}"
        last = text.rindex(mark)
        expect(text[: last + 9] + "▶" + text[last + 9 :], "are both at register", hint=hint)


def test_a_missing_signal_and_a_misspelt_one(expect: Any, sound: str) -> None:
    text = slip(sound, "stellwerk-conveyor", "name: boot_id,", "name: bootid,")
    text = text.replace("    signals:\n      # life signs", "    ▶signals:\n      # life signs")
    problems = expect(text, "the signal 'boot_id' is missing")
    assert problems[0].hint == "did you mean 'bootid'?"


def test_a_missing_group(expect: Any, sound: str) -> None:
    text = slip(sound, "stellwerk-conveyor", "- group: zone", "- group: zones").replace("    groups:", "    ▶groups:")
    expect(text, "the group 'zone' is missing", hint="did you mean 'zones'?")


def test_a_fixed_count_that_is_too_small(breaks: Any, expect: Any, sound: str) -> None:
    text = slip(sound, "stellwerk-conveyor", "count: zones", "count: 5").replace("zones: 6", "zones: ▶6")
    expect(text, "conveyor C1 has 6 zones, its profile 'stellwerk-conveyor' 5", hint="count: zones")


def test_an_overlap_appears_with_the_device_that_is_long_enough(expect: Any, sound: str) -> None:
    """The zone block begins at 100 with 8 registers a zone: zone 113 reaches the command block at 1000."""
    expect(own("stellwerk-conveyor", sound, count=112))
    text = own("stellwerk-conveyor", sound, count=113).replace("address: 103", "address: ▶103")
    (problem,) = expect(text, "signal zone.track_id and hb_gw are both at register 1000 (with the 113 of C1)")
    assert "the other one: " in problem.message


def test_members_that_overlap_their_neighbours(sound: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(slip(sound, "stellwerk-conveyor", "stride: 8", "stride: 1"), encoding="utf-8")
    messages = [problem.message for problem in load(path, {}).problems]
    assert any("signal zone.arrivals and zone.occupied are both at register 101" in said for said in messages)
    assert len(messages) == len(set(messages)) < 20


def test_members_that_overlap_themselves(expect: Any, sound: str) -> None:
    more = """groups:
      - group: extra
        count: 2
        signals: [{name: x, type: uint32, table: input, address: ▶0}]
"""
    text = slip(sound, "stellwerk-conveyor", "groups:\n", more)
    expect(text, "signal extra.x overlaps itself at register 1", hint="stride of at least 2")


def test_forbidden_registers(expect: Any, sound: str) -> None:
    text = slip(
        sound, "stellwerk-conveyor", "byte_order: big", "forbidden: [[0, 0], [109, 110], ▶[9, 7]]\n    byte_order: big"
    )
    text = text.replace(
        "hb_plc, type: uint16, table: holding, address: 0", "hb_plc, type: uint16, table: holding, address: ▶0"
    )
    text = text.replace("address: 101", "address: ▶101").replace("address: 102", "address: ▶102")
    expect(
        text,
        "the forbidden range 9 to 7 runs backwards",
        "signal hb_plc lies at register 0, which is forbidden",
        "signal zone.arrivals lies at register 109 (with the 6 of C1), which is forbidden",
        "signal zone.departures lies at register 110",
    )


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("node: s=Status.BootId", "node: ▶s=Status.HbPlc", "has the node 's=Status.HbPlc' of another signal", ""),
        ("node: s=Status.BootId", "node: ▶Status.BootId", "which is no identifier", "s=<text>"),
        ("node: s=Status.BootId", "node: ▶'s=Status.{n}'", "no member of a group", "write the number"),
        ("{name: boot_id, type: uint16, node: s=Status.BootId}", "{name: ▶boot_id, type: uint16}",
         "signal boot_id has no node", "s=Status.HbPlc"),
        ("node: 's=Lane.{n}.Full'", "node: ▶'s=Lane.Full'", "is the same for all", "write {n}"),
        ("ring: event", "ring: ▶evnt", "unknown group 'evnt' as event ring", "did you mean 'event'?"),
        ("count: 32", "count: ▶lanes", "the event ring 'event' has a fixed number of entries", "16 or 32"),
        ("    namespace: urn:stellwerk:plc\n", "", "'namespace' is missing", "URI"),
        ("      ring: event\n", "", "'handshake: ring' is missing", "ring: event"),
    ],
)  # fmt: skip
def test_sorter_profile(expect: Any, sound: str, old: str, new: str, message: str, hint: str) -> None:
    text = slip(sound, "stellwerk-sorter", old, new)
    if "namespace" in old:
        text = text.replace("- profile: stellwerk-sorter", "- profile: ▶stellwerk-sorter")
    if old == "      ring: event\n":
        text = text.replace("    handshake:", "    ▶handshake:")
    expect(text, message, hint=hint)


def test_vehicles_have_no_signals(expect: Any, sound: str) -> None:
    text = own("vda5050-2.1", sound) + "    ▶signals: [{name: x, type: bool, node: s=X}]\n"
    expect(text, "VDA 5050 has messages of its own", hint="remove signals")


def test_a_problem_in_a_shipped_profile_points_into_its_file(sound: str, tmp_path: Path) -> None:
    """A conveyor too long for the shipped profile: the profile's own file and line are named."""
    path = tmp_path / "site.yaml"
    path.write_text(sound.replace("zones: 6", "zones: 113"), encoding="utf-8")
    (problem,) = load(path, {}).problems
    file = CONFIG / "profiles" / "stellwerk-conveyor.yaml"
    assert Path(problem.file) == file
    assert "address: 103" in file.read_text(encoding="utf-8").split("\n")[problem.line - 1]
