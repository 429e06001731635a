"""Files in hosts' formats: taken when complete, whole or not at all, once, in flat memory, with an answer for each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.contract import AnnounceLoad, Reply
from gateway.host.channels.intake import ROWS_PER_SLICE
from gateway.shell.runtime import Runtime

from .conftest import Make, Way

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
ANNOUNCE = {"request": "announce_load", "load": "{load}", "location": "{to}"}
HEADER = b"load,to\n"


def csv_folder(**folder: Any) -> dict[str, Any]:
    return {
        "id": "erp", "format": "csv", "folder": {"settle_ms": 0, **folder}, "csv": {"required": ["load", "to"]},
        "mapping": {"rules": [ANNOUNCE]},
    }  # fmt: skip


def json_folder() -> dict[str, Any]:
    return {"id": "erp", "format": "json", "folder": {"settle_ms": 0}, "mapping": {"rules": [ANNOUNCE]}}


def drop(way: Way, name: str, content: bytes) -> None:
    part = way.folder / f".{name}.part"
    part.write_bytes(content)
    part.replace(way.folder / name)


def reply(way: Way, stem: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (way.folder / "done" / f"{stem}.reply.jsonl").read_text().splitlines()]


async def taken(way: Way, wait: Wait, name: str) -> None:
    await wait(lambda: not (way.folder / name).exists() and (way.folder / "done" / name).exists())


async def refused(way: Way, wait: Wait, name: str) -> str:
    await wait((way.folder / "failed" / name).exists)
    return (way.folder / "failed" / f"{Path(name).stem}.reason.txt").read_text()


async def test_rows_become_requests_and_each_is_answered(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    async with way.running():
        drop(way, "in.csv", HEADER + b"L1,R1\nL2,R2\n")
        await taken(way, wait, "in.csv")
    assert [request for _, request in way.desk.asked] == [AnnounceLoad("L1", "R1"), AnnounceLoad("L2", "R2")]
    first, second, summary = reply(way, "in")
    assert (first["place"], first["request"], first["accepted"]) == ("line 2", "announce_load L1", True)
    assert second["place"] == "line 3"
    assert (summary["requests"], summary["accepted"], summary["refused"]) == (2, 2, 0)
    assert sorted(path.name for path in (way.folder / "done").iterdir()) == ["in.csv", "in.reply.jsonl"]


async def test_what_does_not_fit_is_told_and_the_others_are_carried_out(make: Make, wait: Wait) -> None:
    way = make(csv_folder(reply="refused"))
    way.desk.refuses = lambda request_id: (
        Reply("erp", request_id, False, "no room", "conflict") if request_id.endswith("-3") else None
    )
    async with way.running():
        drop(way, "in.csv", HEADER + b"L1,R1\n,R2\nL3,R3\n")
        await taken(way, wait, "in.csv")
    unmapped, conflict, summary = reply(way, "in")
    assert unmapped["place"] == "line 3"
    assert unmapped["reason"] == ("rule 1 (announce_load), load: {load} gives an empty text: send it, or set `default`")
    assert (conflict["place"], conflict["reason"], conflict["code"]) == ("line 4", "no room", "conflict")
    assert (summary["accepted"], summary["refused"]) == (1, 2)


BAD_CSV: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1: the file is empty"),
    "half-written, within a line": (HEADER + b"L1,R1\nL2,R", "line 3: ends without a newline: it may be half written"),
    "half-written, within a quote": (HEADER + b'L1,"R1\n', "line 2: a quote"),
    "a column is missing": (b"load,place\nL1,R1\n", "line 1: no column 'to'; there are 'load', 'place'"),
    "a column comes twice": (b"load,to,to\n", "line 1: column 'to' comes twice"),
    "too few cells": (HEADER + b"L1,R1\nL2\n", "line 3: 1 cells, the header has 2"),
    "wrong delimiter": (b"load;to\nL1;R1\n", "line 1: no column 'load', 'to'"),
    "wrong encoding": (HEADER + b"L1,R1\nL\xe42,R2\n", "line 3: 0xe4 at character 2 is not utf-8-sig"),
    "UTF-16": (
        "load,to\nL1,R1\n".encode("utf-16"),
        "line 1: holds a NUL byte; write text; for UTF-16 set the encoding",
    ),
    "a huge line": (HEADER + b"x" * 70_000 + b",R\n", "line 2: longer than 65536 characters"),
    "NUL": (HEADER + b"L\x001,R1\n", "line 2: holds a NUL byte"),
}


@pytest.mark.parametrize("case", BAD_CSV)
async def test_a_bad_csv_file_is_refused_whole_with_line_and_reason(make: Make, wait: Wait, case: str) -> None:
    content, part = BAD_CSV[case]
    way = make(csv_folder())
    async with way.running():
        drop(way, "bad.csv", content)
        reason = await refused(way, wait, "bad.csv")
    assert reason.startswith(part)
    assert (way.folder / "failed" / "bad.csv").read_bytes() == content
    assert way.desk.asked == []
    assert [path.name for path in (way.folder / "done").iterdir()] == []


async def test_an_error_far_behind_is_found_before_anything_is_done(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    rows = b"".join(b"L%d,R1\n" % n for n in range(5 * ROWS_PER_SLICE))
    async with way.running():
        drop(way, "bad.csv", HEADER + rows + b"cut")
        assert (await refused(way, wait, "bad.csv")).startswith(f"line {5 * ROWS_PER_SLICE + 2}: ends without")
    assert way.desk.asked == []


BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "half-written": (b'[{"load": "L1", "to": "R', "line 1, column "),
    "wrong encoding": (b'[{"load": "L\xe4"}]', "byte 12: 0xe4 is not utf-8"),
    "no records": (b'["L1"]', "document[0]: a text, not an object"),
    "too large": (b'[{"load": "' + b"x" * 4_200_000 + b'"}]', "bytes, at most 4194304"),
}


@pytest.mark.parametrize("case", BAD_JSON)
async def test_a_bad_json_file_is_refused_whole_with_place_and_reason(make: Make, wait: Wait, case: str) -> None:
    content, part = BAD_JSON[case]
    way = make(json_folder())
    async with way.running():
        drop(way, "bad.json", content)
        assert part in await refused(way, wait, "bad.json")
    assert way.desk.asked == []


@pytest.mark.parametrize(
    ("name", "sample", "word"),
    [("edifact", "edifact.sample.edi", b"Bremen"), ("x12", "x12.sample.x12", b"Portland")],
)
async def test_a_bad_edi_file_is_refused_whole(make: Make, wait: Wait, name: str, sample: str, word: bytes) -> None:
    content = (Path(__file__).parents[4] / "config" / "channels" / sample).read_bytes()
    rule = {"request": "remove_load", "load": "{order}"}
    way = make({"id": "edi", "format": name, "folder": {"settle_ms": 0}, "mapping": {"rules": [rule]}})
    suffix = Path(sample).suffix
    async with way.running():
        drop(way, f"cut{suffix}", content[: len(content) // 2])
        reason = await refused(way, wait, f"cut{suffix}")
        drop(way, f"two{suffix}", content.replace(word, word + b"\xff"))
        assert "0xff" in await refused(way, wait, f"two{suffix}")
        assert way.desk.asked == []
        drop(way, f"whole{suffix}", content)
        await taken(way, wait, f"whole{suffix}")
    assert "segment" in reason
    assert way.desk.asked


async def test_an_edi_partner_gets_its_acknowledgement(make: Make, wait: Wait) -> None:
    samples = Path(__file__).parents[4] / "config" / "channels"
    rule = {"request": "remove_load", "load": "{order}"}
    for name, suffix, good, bad in (
        ("edifact", "edi", b"UCI+IC00001+4006381000017:14+4012345000009:14+7'", b"+4+18'"),
        ("x12", "x12", b"AK9*A*2*2*2~", b"AK9*R*"),
    ):
        folder = {"settle_ms": 0, "acknowledge": True}
        way = make({"id": name, "format": name, "folder": folder, "mapping": {"rules": [rule]}})
        content = (samples / f"{name}.sample.{suffix}").read_bytes()
        async with way.running():
            drop(way, f"a.{suffix}", content)
            await taken(way, wait, f"a.{suffix}")
            drop(way, f"b.{suffix}", content[: len(content) // 2])
            await refused(way, wait, f"b.{suffix}")
            drop(way, f"c.{suffix}", b"nobody")
            await refused(way, wait, f"c.{suffix}")
        assert good in (way.folder / "done" / f"a.ack.{suffix}").read_bytes()
        assert bad in (way.folder / "failed" / f"b.ack.{suffix}").read_bytes()
        assert not (way.folder / "failed" / f"c.ack.{suffix}").exists()


async def test_a_byte_order_mark_and_other_encodings_are_read_where_they_are_said(make: Make, wait: Wait) -> None:
    way = make({**csv_folder(), "csv": {"encoding": "utf-16", "delimiter": ";"}})
    async with way.running():
        drop(way, "a.csv", "load;to\nLä1;R1\n".encode("utf-16"))
        await taken(way, wait, "a.csv")
    way.spec = way.spec.model_validate(csv_folder())
    way.restart()
    async with way.running():
        drop(way, "b.csv", b"\xef\xbb\xbf" + HEADER + "Lä2,R1\n".encode())
        await taken(way, wait, "b.csv")
    assert [request for _, request in way.desk.asked] == [AnnounceLoad("Lä1", "R1"), AnnounceLoad("Lä2", "R1")]


async def test_a_file_that_grows_is_taken_when_it_has_come_to_rest(make: Make, wait: Wait) -> None:
    way = make(csv_folder(settle_ms=300))
    async with way.running():
        with (way.folder / "slow.csv").open("wb", buffering=0) as file:
            file.write(HEADER)
            # Grown before it can have come to rest, so it is seen anew each time.
            for number in range(4):
                await asyncio.sleep(0.1)
                file.write(b"L%d,R1\n" % number)
                assert way.desk.asked == []
        await taken(way, wait, "slow.csv")
    assert len(way.desk.asked) == 4


async def test_links_and_folders_are_refused_and_dotted_names_left_alone(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    secret = way.data / "secret.csv"
    secret.write_bytes(HEADER + b"S,R1\n")
    (way.folder / "link.csv").symlink_to(secret)
    (way.folder / "folder.csv").mkdir()
    (way.folder / ".hidden.csv").write_bytes(HEADER + b"H,R1\n")
    async with way.running():
        drop(way, "z.csv", HEADER + b"L1,R1\n")
        await taken(way, wait, "z.csv")
    assert [request for _, request in way.desk.asked] == [AnnounceLoad("L1", "R1")]
    assert (way.folder / "failed" / "link.csv").is_symlink()
    assert (way.folder / "failed" / "folder.csv").is_dir()
    assert "a folder, a link" in (way.folder / "failed" / "link.reason.txt").read_text("utf-8")
    assert (way.folder / ".hidden.csv").exists()


@pytest.mark.parametrize("cut", [True, False])
async def test_a_file_that_is_written_to_while_it_is_read_is_told(make: Make, wait: Wait, cut: bool) -> None:
    way = make(csv_folder())
    way.desk.open.clear()
    rows = 20 * ROWS_PER_SLICE
    async with way.running():
        drop(way, "a.csv", HEADER + b"".join(b"L%d,R1\n" % n for n in range(rows)))
        await wait(lambda: bool(way.desk.asked))
        with (way.folder / "a.csv").open("r+b") as file:
            if cut:
                file.truncate(90_000)
            else:
                file.seek(0, 2)
                file.write(b"more,R1\n")
        way.desk.open.set()
        reason = await refused(way, wait, "a.csv")
    assert reason.startswith("changed while it was read")
    assert f"{len(way.desk.done)} requests were carried out" in reason
    assert [path.name for path in (way.folder / "done").iterdir()] == []


# --- once ---


async def test_the_same_file_twice_is_carried_out_once_and_answered_the_same(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    async with way.running():
        for name in ("a.csv", "a.csv", "other.csv"):
            drop(way, name, HEADER + b"L1,R1\nL2,R2\n")
            await taken(way, wait, name)
        assert len(way.desk.asked) == 2
        assert reply(way, "a") == reply(way, "other")
        assert len(reply(way, "a")) == 3
        (way.folder / "done" / "a.reply.jsonl").unlink()
        drop(way, "third.csv", HEADER + b"L1,R1\nL2,R2\n")
        await taken(way, wait, "third.csv")
    (summary,) = reply(way, "third")
    assert (summary["repeats"], summary["requests"], summary["accepted"]) == ("a.csv", 2, 2)
    assert len(way.desk.asked) == 2


async def test_the_same_name_with_other_content_is_another_file(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    async with way.running():
        for row in (b"L1,R1\n", b"L2,R2\n"):
            drop(way, "a.csv", HEADER + row)
            await taken(way, wait, "a.csv")
    assert list(way.desk.done.values()) == [AnnounceLoad("L1", "R1"), AnnounceLoad("L2", "R2")]
    assert reply(way, "a")[0]["request"] == "announce_load L2"


async def test_content_is_forgotten_after_a_time_and_then_only_request_ids_say(make: Make, wait: Wait) -> None:
    way = make(csv_folder(remember_hours=1))
    async with way.running():
        drop(way, "a.csv", HEADER + b"L1,R1\n")
        await taken(way, wait, "a.csv")
        way.now_ns += 3_600 * 10**9
        drop(way, "a.csv", HEADER + b"L1,R1\n")
        await wait(lambda: len(way.desk.asked) == 2)
        await taken(way, wait, "a.csv")
    assert way.desk.asked[0] == way.desk.asked[1]
    assert len(way.desk.done) == 1


async def test_a_mended_mapping_takes_the_same_file_again(make: Make, wait: Wait) -> None:
    broken = {**ANNOUNCE, "location": {"from": "{to}", "values": {"R1": "RACK-1"}}}
    way = make({**csv_folder(), "mapping": {"rules": [broken]}})
    content = HEADER + b"L1,R1\nL2,R2\n"
    async with way.running():
        drop(way, "a.csv", content)
        await taken(way, wait, "a.csv")
    assert "none of R1: add it to `values`" in reply(way, "a")[1]["reason"]
    mended = {**broken, "location": {"from": "{to}", "values": {"R1": "RACK-1", "R2": "RACK-2"}}}
    way.spec = way.spec.model_validate({**csv_folder(), "mapping": {"rules": [mended]}})
    way.restart()
    async with way.running():
        drop(way, "a.csv", content)
        await taken(way, wait, "a.csv")
    assert [line["accepted"] for line in reply(way, "a")[:-1]] == [True, True]
    assert list(way.desk.done.values()) == [AnnounceLoad("L1", "RACK-1"), AnnounceLoad("L2", "RACK-2")]


async def test_a_restart_goes_on_where_the_file_was(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    rows = 3 * ROWS_PER_SLICE
    drop(way, "a.csv", HEADER + b"".join(b"L%d,R1\n" % n for n in range(rows)))
    second = ROWS_PER_SLICE + 10

    async def stops(client: str, request_id: str, request: Any) -> Reply:
        if len(way.desk.asked) >= second:
            way.desk.open.clear()  # the gateway goes down within the second slice
        return await way.desk.ask(client, request_id, request)

    way.ask = stops
    way.restart()
    async with way.running():
        await wait(lambda: len(way.desk.asked) == 2 * ROWS_PER_SLICE)
    assert (way.folder / "a.csv").exists()
    assert not (way.folder / "done" / "a.reply.jsonl").exists()
    way.desk.open.set()
    way.ask = way.desk.ask
    way.restart()
    async with way.running():
        await taken(way, wait, "a.csv")
    assert len(way.desk.done) == rows
    assert len(way.desk.asked) == rows + ROWS_PER_SLICE  # the second slice again, the first one not
    found = reply(way, "a")
    assert [line["place"] for line in found[:-1]] == [f"line {n + 2}" for n in range(rows)]
    assert found[-1]["accepted"] == rows


async def test_a_restart_after_the_last_answer_only_moves_the_file(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    async with way.running():
        drop(way, "a.csv", HEADER + b"L1,R1\n")
        await taken(way, wait, "a.csv")
    # As a crash leaves it that came between the reply and the move.
    (way.folder / "done" / "a.csv").replace(way.folder / "a.csv")
    before = reply(way, "a")
    way.restart()
    async with way.running():
        await taken(way, wait, "a.csv")
    assert reply(way, "a") == before
    assert len(way.desk.asked) == 1


# --- much ---


async def test_many_rows_are_under_way_in_bounded_numbers(make: Make, wait: Wait) -> None:
    way = make(csv_folder(in_flight_max=64, reply="refused"))
    rows = 20_000
    async with way.running():
        drop(way, "many.csv", HEADER + b"".join(b"L%d,R1\n" % n for n in range(rows)))
        await taken(way, wait, "many.csv")
    assert len(way.desk.done) == rows
    assert way.desk.in_flight_max == 64
    (summary,) = reply(way, "many")
    assert summary["accepted"] == rows


async def test_while_the_gateway_takes_nothing_the_file_waits(make: Make, wait: Wait) -> None:
    way = make(csv_folder())
    closed = True
    way.desk.refuses = lambda request_id: (
        Reply("erp", request_id, False, "the gateway's state is journal full", "unavailable") if closed else None
    )
    async with way.running():
        drop(way, "a.csv", HEADER + b"L1,R1\nL2,R2\n")
        await wait(lambda: len(way.desk.asked) >= 6)
        assert (way.folder / "a.csv").exists()
        assert len(way.said("channel waits: the gateway takes nothing")) == 1
        closed = False
        await taken(way, wait, "a.csv")
    assert list(way.desk.done.values()) == [AnnounceLoad("L1", "R1"), AnnounceLoad("L2", "R2")]
    assert len(way.said("channel goes on")) == 1


async def test_a_file_goes_through_the_real_gateway(make: Make, wait: Wait, running: Runtime) -> None:
    rule = {"request": "remove_load", "when": [{"field": "to", "equals": "OUT"}], "load": "{load}"}
    announce = {**ANNOUNCE, "unless": [{"field": "to", "equals": "OUT"}]}
    way = make({**csv_folder(), "mapping": {"rules": [announce, rule]}})
    way.ask = running.ask
    way.restart()
    async with way.running():
        drop(way, "in.csv", HEADER + b"L1,RACK-1\nL2,RACK-99\nL1,OUT\n")
        await taken(way, wait, "in.csv")
    *answers, summary = reply(way, "in")
    assert [answer["accepted"] for answer in answers] == [True, False, True]
    assert "RACK-99" in answers[1]["reason"]
    assert summary["refused"] == 1
    assert running.kernel.state.loads == {}
