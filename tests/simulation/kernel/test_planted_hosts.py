"""What a host relies on: the rules about orders and answers find the bugs that would break its trust."""

from __future__ import annotations

import pytest
from planted import POWER, caught, forget_synced

from gateway import codec, kernel
from gateway.contract import HostRequest, Notice, OrderEvent, Report, Request
from gateway.dispatch import orders
from gateway.dispatch.state import Order
from gateway.dispatch.turn import Turn
from gateway.kernel import Kernel
from gateway.shell.journal.chain import Record
from gateway.shell.recovery import Restored, restore
from gateway.simulation import server
from gateway.simulation.callers import Done, heard
from gateway.simulation.disk import SimJournal
from gateway.simulation.run import Options, Run
from gateway.simulation.server import Server
from gateway.simulation.timeline import SECOND
from gateway.site import Site

REUSED = Options(hours=0.05, kinds=("host_id_reused",), fault_mean_s=5)


def test_orders_a_disk_that_says_synced_and_keeps_it_in_its_cache() -> None:
    found = caught("orders", forget_synced, POWER)
    assert "is gone after a restart" in found.text


def test_orders_an_end_that_is_told_twice() -> None:
    """Two steps that end in the same turn both end the order."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        end_order = orders._end_order

        def twice(turn: Turn, order: Order, trigger: str, reason: str) -> None:
            end_order(turn, order, trigger, reason)
            turn.effects.append(OrderEvent(order.order, order.state, reason))

        patch.setattr(orders, "_end_order", twice)

    assert "went from finished to finished" in caught("orders", plant).text


def test_orders_a_replay_without_what_the_plant_has_said() -> None:
    """ "The plant will say it again anyway": a start that reads only what hosts and people have asked for."""

    class OnlyRequests(SimJournal):
        def read(self, after_seq: int) -> list[Record]:  # type: ignore[override]
            return [r for r in super().read(after_seq) if not isinstance(codec.decode_body(r[2]), Report | Notice)]

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(server, "SimJournal", OnlyRequests)

    assert "before a restart and is" in caught("orders", plant, POWER).text


def test_answers_a_start_that_lets_the_effects_of_its_replay_out_again() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        start = Server.start

        def telling(self: Server) -> None:
            before = list(self.disk.records)
            start(self)
            again = Kernel(self.site)
            for record in before:
                entered = codec.stamp(*record)
                for number, effect in enumerate(again.apply(entered)):
                    self.release(entered, number, effect)

        patch.setattr(Server, "start", telling)

    assert "was answered and had not asked" in caught("answers", plant, POWER).text


def test_answers_a_memory_of_answers_that_ends_with_the_process() -> None:
    """Answers kept in the process instead of the journal: what is asked again after a crash is done again."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def forgetful(site: Site, journal: SimJournal) -> Restored:
            restored = restore(site, journal)
            restored.kernel.state.answers.clear()
            return restored

        patch.setattr(server, "restore", forgetful)

    assert "was answered" in caught("answers", plant, scene=_asking_again_after_a_power_cut).text


def _asking_again_after_a_power_cut(run: Run) -> None:
    """A host that does not know what became of its requests sends all of them again."""
    ask, asked = run.callers.ask, []

    def remembered(client: str, request: Request, done: Done = heard, request_id: str = "") -> str:
        request_id = ask(client, request, done, request_id)
        asked.append((client, request, request_id))
        return request_id

    def again() -> None:
        for client, request, request_id in asked[:20]:
            run.callers.ask_once(client, request, request_id)

    run.callers.ask = remembered  # type: ignore[method-assign]
    run.timeline.at(80 * SECOND, run.server.cut_power)
    run.timeline.at(150 * SECOND, again)


def test_answers_a_request_id_that_is_known_whatever_the_content() -> None:
    """The content's digest left out of the comparison."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(kernel, "encode_request", lambda _: b"")

    assert "was used again with other content" in caught("answers", plant, REUSED).text


def test_answers_a_duplicate_that_gets_no_answer() -> None:
    """ "We have answered that already": the host whose answer got lost asks for ever."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        host = Kernel._host

        def once(self: Kernel, turn: Turn, asked: HostRequest) -> None:
            if f"{asked.client}\n{asked.request_id}" not in self.state.answers:
                host(self, turn, asked)

        patch.setattr(Kernel, "_host", once)

    assert "has had no answer in" in caught("answers", plant, scene=_losing_answers).text


def _losing_answers(run: Run) -> None:
    run.callers.loss_percent = 40
