"""Questions to a person: what became of a pick or a drop that failed, where the site's policy says `ask`.

Until it is answered the vehicle is left where it is and its load is not planned: either might have the load. A
question is answered by its action's id (`ResolveCommand`), and falls away where the load is announced or removed,
or its order ends.
"""

from __future__ import annotations

from gateway.contract import DeviceId, TaskId
from gateway.dispatch.state import Question
from gateway.dispatch.turn import Turn


def ask(turn: Turn, vehicle: DeviceId, question: Question, why: str) -> None:
    """Call a person; the vehicle has no other question open, since it is sent nowhere while it has one."""
    turn.state.questions[vehicle] = question
    turn.memory.refusals.pop(vehicle, None)
    kind = question.action_id.rpartition(".")[2]
    text = (
        f"{why}. Look whether {question.load} is at {question.at}: if it is, `stellwerk resolve {question.action_id} "
        f"--done`; if the {kind} is to be tried again, `--not-done`; if it is elsewhere, announce it there"
    )
    turn.raise_alarm(vehicle, _code(question), text)
    turn.touch()


def refusal(turn: Turn, vehicle: DeviceId) -> str | None:
    """Why a vehicle is to stay where it is."""
    question = turn.state.questions.get(vehicle)
    return None if question is None else f"waits for a person's decision about {question.load} ({question.action_id})"


def asked(turn: Turn) -> set[TaskId]:
    """The tasks that wait for an answer."""
    return {question.task for question in turn.state.questions.values()}


def of_action(turn: Turn, action_id: str) -> DeviceId | None:
    """The vehicle with the open question about this action."""
    return next((v for v, question in turn.state.questions.items() if question.action_id == action_id), None)


def take(turn: Turn, vehicle: DeviceId) -> Question:
    """The question is answered or has fallen away."""
    question = turn.state.questions.pop(vehicle)
    turn.memory.refusals.pop(vehicle, None)
    turn.clear_alarm(vehicle, _code(question))
    turn.touch()
    return question


def withdraw(turn: Turn, task: TaskId) -> None:
    """Nobody needs to answer any more what this task has asked."""
    for vehicle in [v for v, question in turn.state.questions.items() if question.task == task]:
        take(turn, vehicle)


def _code(question: Question) -> str:
    return f"asks about {question.load}"
