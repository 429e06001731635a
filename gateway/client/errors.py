"""How a call can fail: the gateway says no, it is not reached, or whatever answered was not it."""

from __future__ import annotations

from gateway.client.ask import Record


class FieldError(Record, frozen=True):
    """One thing that is wrong with a request: where it stands (`path`, a JSON pointer, in what) and why."""

    where: str
    path: str
    problem: str


class Problem(Record, frozen=True):
    """What the gateway says when it refuses (RFC 9457)."""

    status: int
    detail: str
    code: str
    next: str
    type: str = ""
    title: str = ""
    instance: str = ""
    request_id: str = ""
    errors: tuple[FieldError, ...] = ()


class ClientError(Exception):
    """A call has failed. `key`: its idempotency key, "" for a read. `may_be_done`: it is not known whether what was
    asked for has been done; the same call with the same key tells."""

    def __init__(self, text: str, *, key: str = "", may_be_done: bool = False) -> None:
        super().__init__(text)
        self.key = key
        self.may_be_done = may_be_done


class Refused(ClientError):
    """The gateway has said no. `code` is for programs (docs/http-api.md has the table), `next` for people."""

    def __init__(
        self, problem: Problem, *, retry_after_s: float = 0.0, key: str = "", may_be_done: bool = False
    ) -> None:
        super().__init__(f"{problem.detail}: {problem.next}", key=key, may_be_done=may_be_done)
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.next = problem.next
        self.errors = problem.errors
        self.retry_after_s = retry_after_s


class NotReached(ClientError):
    """No gateway has answered, after all tries."""


class Unexpected(ClientError):
    """Whatever answered does not speak this API: another server, a proxy, or a gateway of another version."""

    def __init__(self, text: str, *, status: int = 0, key: str = "", may_be_done: bool = False) -> None:
        super().__init__(text, key=key, may_be_done=may_be_done)
        self.status = status
