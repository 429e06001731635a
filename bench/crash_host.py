"""A host and the people on the floor, as they look from outside: files into the gateway's folder, answers out of it.

They know what they have sent and what they were answered, and where loads stand in the plant; nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.crash_ledger import Ledger
from gateway.demo.simulators import Simulators
from gateway.demo.stream import RACKS, steps_for

CLIENT = "wms"
OPEN_MAX = 30
"""Orders under way; when one ends the next is sent, so that they flow all the time."""
STALLED_S = 20.0
"""No end was seen for so long: perhaps a kill has swallowed its line, so another order is sent."""
INTERVAL_S = 1.2
RACK_LOADS_MAX = 24
CANCELLED_SHARE = 0.04
LOOK_S = 0.005
ASK_AGAIN_S = 0.5
PEOPLE_LOOK_S = 0.25
WORK_S = (4.0, 9.0)
CONFIRM_AGAIN_S = 1.0
PEOPLE = {"WS1-BENCH": ("WS1", "anna"), "WS2-BENCH": ("WS2", "ben"), "LANE-R": ("CLR", "cleo")}
CLARIFICATIONS_MAX = 3

Envelope = dict[str, Any]


@dataclass
class Sent:
    """A file whose answer has not been read."""

    name: str
    envelopes: list[Envelope]
    forged: bool


class Host:
    """`send_orders`, `listen` and `people` run side by side until they are cancelled. `stop_orders` ends the first."""

    def __init__(self, ledger: Ledger, plant: Simulators, data: Path, seed: int, speed: float) -> None:
        self.ledger = ledger
        self.resent_unanswered = 0
        self.resent_answered = 0
        self.forged = 0
        self.heard = asyncio.Event()
        """Set whenever an answer has been read."""
        self._plant = plant
        self._folder = data / "inbox" / CLIENT
        self._rng = random.Random(seed)
        self._speed = speed
        self._files = 0
        self._orders = 0
        self._outstanding: list[Sent] = []
        self._answered: list[Sent] = []
        self._stopped = False
        self._standing: dict[str, str] = {}
        self._work: dict[str, tuple[float, int]] = {}
        self._order_of: dict[str, tuple[str, list[str]]] = {}

    def stop_orders(self) -> None:
        self._stopped = True

    # --- files ---

    def drop(self, envelopes: list[Envelope], *, forged: bool = False) -> None:
        """A file for the channel, appearing whole."""
        self._files += 1
        name = f"{self._files:06d}"
        for envelope in () if forged else envelopes:
            self.ledger.send(CLIENT, envelope["request_id"], envelope["request"])
        self._outstanding.append(Sent(name, envelopes, forged))
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{name}.part"
        part.write_bytes(json.dumps(envelopes).encode())
        part.replace(self._folder / f"{name}.json")

    async def listen(self) -> None:
        """Read answers as they come."""
        while True:
            for sent in list(self._outstanding):
                if self._read(sent):
                    self._outstanding.remove(sent)
                    self._answered.append(sent)
                    self.heard.set()
                    self._ask_undecided_again(sent)
            await asyncio.sleep(LOOK_S)

    def _read(self, sent: Sent, *, anew: bool = True) -> bool:
        path = self._folder / "done" / f"{sent.name}.reply.json"
        if not path.exists():
            if (self._folder / "failed" / f"{sent.name}.json").exists():
                reason = (self._folder / "failed" / f"{sent.name}.reason.txt").read_text("utf-8")
                raise RuntimeError(f"a host's file {sent.name}.json was refused as a whole: {reason}")
            return False
        answers = json.loads(path.read_bytes())
        for answer in answers:
            self.ledger.hear(
                CLIENT, answer["request_id"], answer["accepted"], answer["reason"], forged=sent.forged, anew=anew
            )
        return True

    def _ask_undecided_again(self, sent: Sent) -> None:
        again = [e for e in sent.envelopes if self.ledger.asked[CLIENT, e["request_id"]].accepted is None]
        if again and not sent.forged:
            self.drop(again)

    def read_all_again(self) -> None:
        """A file that was taken twice around a kill has been answered twice: its last answer is compared here."""
        for sent in self._answered:
            self._read(sent, anew=False)

    # --- what a host does that can't be sure of having been heard ---

    def ask_again(self) -> None:
        """Most of what is not answered, and a little of what is; now and then the same id with another content."""
        for sent in list(self._outstanding):
            waiting = [e for e in sent.envelopes if self.ledger.asked[CLIENT, e["request_id"]].accepted is None]
            if waiting and not sent.forged and self._rng.random() < 0.7:
                self.resent_unanswered += len(waiting)
                self.drop(waiting)
        answered = [key for key, asked in self.ledger.asked.items() if asked.accepted is not None]
        for _, request_id in self._rng.sample(answered, min(len(answered), self._rng.randint(0, 3))):
            self.resent_answered += 1
            self.drop([self._envelope(request_id)])
        if answered and self._rng.random() < 0.3:
            envelope = self._envelope(self._rng.choice(answered)[1])
            self.forged += 1
            self.drop([{**envelope, "request": {"type": "cancel_order", "order": "NEVER-SENT"}}], forged=True)

    def _envelope(self, request_id: str) -> Envelope:
        return {"request_id": request_id, "request": self.ledger.asked[CLIENT, request_id].request}

    # --- orders ---

    async def send_orders(self, open_max: int, ended: Callable[[], int]) -> None:
        """Sign the people on, then order for ever, with `open_max` orders under way; `ended` tells how many are not."""
        self.drop([
            {"request_id": f"on-{person}", "request": {"type": "sign_on", "person": person, "station": station}}
            for station, person in PEOPLE.values()
        ])  # fmt: skip
        sent_s = time.monotonic()
        while not self._stopped:
            await asyncio.sleep(self._rng.expovariate(self._speed / INTERVAL_S))
            stalled = time.monotonic() - sent_s > STALLED_S
            if self._orders - ended() < open_max or stalled:
                await self.order()
                sent_s = time.monotonic()

    async def order(self) -> None:
        """Put a load into a rack, announce it and order what is to be done with it, in one file."""
        self._orders += 1
        load, order, rng = f"T{self._orders:05d}", f"O{self._orders:05d}", self._rng
        code = f"0034012345{self._orders:08d}"
        rack = await self._rack()
        await self._plant.ask("put", load=load, barcodes=[code], location=rack)
        steps = steps_for(rng, load, "shop" if rng.random() < 0.35 else "wms")
        self._order_of[load] = order, [step["step"] for step in steps]
        requests: list[dict[str, Any]] = [
            {"type": "announce_load", "load": load, "location": rack, "barcodes": [code]},
            {"type": "create_order", "order": order, "priority": rng.randint(1, 5), "steps": steps},
        ]
        if rng.random() < CANCELLED_SHARE:
            requests.append({"type": "cancel_order", "order": order, "reason": "its customer does not want it"})
        self.drop([{"request_id": f"{request['type']}-{load}", "request": request} for request in requests])

    async def _rack(self) -> str:
        first = self._rng.randrange(len(RACKS))
        while True:
            # By the plant's own word, and with room for what comes back from the robot cell.
            self._standing = (await self._plant.ask("loads"))["loads"]
            for place in range(len(RACKS)):
                rack = RACKS[(first + place) % len(RACKS)]
                if list(self._standing.values()).count(rack) < RACK_LOADS_MAX:
                    return rack
            await asyncio.sleep(ASK_AGAIN_S)

    # --- people ---

    async def people(self) -> None:
        """Whoever has a load before them works on it and says so, until somebody takes their word for it."""
        tries = 0
        while True:
            standing = (await self._plant.ask("loads"))["loads"]
            here = {load: place for load, place in standing.items() if place in PEOPLE}
            self._work = {load: due for load, due in self._work.items() if load in here}
            for load, place in here.items():
                now_s = time.monotonic()
                due_s, done = self._work.setdefault(load, (now_s + self._rng.uniform(*WORK_S) / self._speed, 0))
                if now_s < due_s:
                    continue
                tries += 1
                self._work[load] = now_s + CONFIRM_AGAIN_S, done + 1
                task = self._task(load, place, done)
                if task:
                    confirm = {"type": "confirm_work", "task": task, "person": PEOPLE[place][1]}
                    self.drop([{"request_id": f"done-{task}-{tries}", "request": confirm}])
            await asyncio.sleep(PEOPLE_LOOK_S)

    def _task(self, load: str, place: str, tried: int) -> str:
        return task_before(*self._order_of[load], place, tried)


def task_before(order: str, steps: list[str], place: str, tried: int) -> str:
    """What a person at `place` does with a load of that order: the pick or one of the clarifications; "": nothing."""
    if place != "LANE-R":
        return f"{order}/pick" if "pick" in steps else ""
    # What is to be decanted comes over the sorter as well, and may not be read there.
    over_sorter = next((step for step in steps if step in ("ship", "decant")), None)
    return f"{order}/{over_sorter}/clarify{tried % CLARIFICATIONS_MAX + 1}" if over_sorter else ""
