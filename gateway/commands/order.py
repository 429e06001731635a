"""`stellwerk order`: make orders and look after them, over the HTTP API of a running gateway.

Exit codes: 0 done, 1 refused by the gateway, 2 wrong command line or file, 3 no gateway has answered.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, get_args

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from gateway.client import Client, ClientError, NewOrder, Step
    from gateway.client.orders import Explanation, Order, OrderLine, OrderState, Result

URL, KEY = "STELLWERK_URL", "STELLWERK_KEY"
KEY_BYTES_MAX = 4_096
FILE_BYTES_MAX = 1024 * 1024
REFUSED, WRONG, NOT_REACHED = 1, 2, 3
_SEQUENCE = "stellwerk.order.sequence"
_KIND_BY_OPTION: Mapping[str, Literal["sort", "move", "work"]] = {"ship": "sort", "move": "move", "work": "work"}

app = typer.Typer(no_args_is_help=True, help="Make orders and look after them, over the HTTP API.")

Url = Annotated[str, typer.Option(envvar=URL, help="Where the gateway is.")]
KeyFile = Annotated[Path | None, typer.Option(help=f"File with the key; without it {KEY} of the environment is it.")]
CaFile = Annotated[Path | None, typer.Option(help="Authorities (PEM) that have signed the gateway's certificate.")]
Waived = Annotated[bool, typer.Option("--tls-waived", help="Send the key over a network in clear.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Why = Annotated[str, typer.Option(help="Why, for the audit log and whoever looks at the order.")]
RequestKey = Annotated[
    str, typer.Option("--key", help="Idempotency key: the same command with the same one is done once.")
]
OrderName = Annotated[str, typer.Argument(help="Its name.")]
HERE = "http://127.0.0.1:8080"


class InSequence(TyperCommand):
    """Remembers how options of several kinds follow one another on the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        said = list(args)
        left = super().parse_args(ctx, args)
        _, _, parameters = self.make_parser(ctx).parse_args(said)
        ctx.meta[_SEQUENCE] = [parameter.name for parameter in parameters]
        return left


@app.command(cls=InSequence)
def add(
    ctx: typer.Context,
    order: Annotated[str, typer.Argument(help="Its name, which is yours to choose.")] = "",
    ship: Annotated[list[str] | None, typer.Option(metavar="LOAD:DEST", help="Sort to a destination.")] = None,
    move: Annotated[list[str] | None, typer.Option(metavar="LOAD:LOCATION", help="Bring to a place.")] = None,
    work: Annotated[list[str] | None, typer.Option(metavar="LOAD:SKILL[:PLACE]", help="Have it worked on.")] = None,
    announce: Annotated[
        list[str] | None,
        typer.Option(metavar="LOAD@LOCATION[=CODE]", help="Say first that a load stands there, with a barcode."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="An order or a list of them in the API's JSON; - is stdin.")] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=5, help="1 is the most urgent, 3 the default.")] = None,
    why: Why = "",
    key: RequestKey = "",
    url: Url = HERE,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    tls_waived: Waived = False,
) -> None:
    """Make an order. Its steps come one after the other, as they stand here; or take whole orders from a file."""
    given = {"ship": ship or [], "move": move or [], "work": work or []}
    if file is not None:
        if order or priority or any(given.values()):
            raise typer.BadParameter("--file has whole orders: give no name, priority or steps beside it")
        orders = _orders_of(file)
    else:
        orders = _order_of(order, given, ctx.meta[_SEQUENCE], priority)
    stands = [_announced(text) for text in announce or []]
    key = key or f"cli-{secrets.token_hex(8)}"
    with _client(url, key_file, ca_file, waived=tls_waived, key=key) as client:
        for number, (load, location, codes) in enumerate(stands, 1):
            client.loads.announce(load, location, codes, reason=why, key=f"{key}.{number}")
            typer.echo(_plain(f"load {load} stands at {location}"))
        if isinstance(orders, list):
            results = client.orders.create_many(orders, reason=why, key=key)
            typer.echo("\n".join(map(_outcome, results.results)))
            raise typer.Exit(REFUSED if results.refused else 0)
        done = client.orders.create(
            orders.order, orders.steps, priority=orders.priority, deadline=orders.deadline, reason=why, key=key
        )
        again = ", and was before: nothing is done twice" if done.repeated else ""
        typer.echo(_plain(f"order {done.id} is accepted{again}"))


@app.command("list")
def list_(
    state: Annotated[list[str] | None, typer.Option(help="Only those; may be repeated.")] = None,
    client: Annotated[str, typer.Option(help="Only those of this client.")] = "",
    load: Annotated[str, typer.Option(help="Only those with this load.")] = "",
    text: Annotated[str, typer.Option(help="Looked for in ids, loads and reasons.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 50,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first; else the newest.")] = False,
    json: AsJson = False,
    url: Url = HERE,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    tls_waived: Waived = False,
) -> None:
    """List orders, open and ended ones."""
    with _client(url, key_file, ca_file, waived=tls_waived) as gateway:
        every = gateway.orders.browse(
            state=_states(state or []), client=client, load=load, text=text, sort="oldest" if oldest else "newest",
            limit=min(limit, 500),
        )  # fmt: skip
        found = list(islice(every, limit))
    if json:
        _print_json(found)
    elif not found:
        typer.echo("no orders")
    else:
        typer.echo(_table(found))


@app.command()
def show(
    order: OrderName,
    json: AsJson = False,
    url: Url = HERE,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    tls_waived: Waived = False,
) -> None:
    """Show an order with its steps, and why it waits."""
    import msgspec

    with _client(url, key_file, ca_file, waived=tls_waived) as client:
        found = client.orders.get(order)
        told = client.orders.explain(order)
    if json:
        _print_json({**msgspec.to_builtins(found), "reasons": told.reasons})
    else:
        typer.echo("\n".join(_described(found, told)))


@app.command()
def cancel(
    order: OrderName,
    why: Why = "",
    version: Annotated[int | None, typer.Option(min=1, help="Only if it still has this version.")] = None,
    key: RequestKey = "",
    url: Url = HERE,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    tls_waived: Waived = False,
) -> None:
    """Want an order no more. Loads that move come to rest at the next place."""
    key = key or f"cli-{secrets.token_hex(8)}"
    with _client(url, key_file, ca_file, waived=tls_waived, key=key) as client:
        client.orders.cancel(order, why, version=version, key=key)
    typer.echo(_plain(f"order {order} is cancelled"))


@contextmanager
def _client(url: str, key_file: Path | None, ca_file: Path | None, *, waived: bool, key: str = "") -> Iterator[Client]:
    """The gateway, for the time of one command; whatever goes wrong is told on stderr and in the exit code."""
    from gateway.client import Client, ClientError

    secret = _key_of(key_file)
    try:
        with Client(url, secret, ca_file=str(ca_file or ""), tls="waived" if waived else None) as client:
            yield client
    except ValueError as error:
        _end(WRONG, str(error))
    except ClientError as error:
        _tell(error, key, has_key=bool(secret))


def _tell(error: ClientError, key: str, *, has_key: bool) -> NoReturn:
    """How a call has failed, and what to do about it."""
    from gateway.client import Refused

    again = f"next step give the same command again with --key {key}: it is then done once" if key else ""
    if not isinstance(error, Refused):
        _end(NOT_REACHED, str(error), again if error.may_be_done else "")
    lines = [f"refused: {error.detail}"]
    lines += [f"  {each.where} {each.path}: {each.problem}" for each in error.errors]
    if error.code == "unauthorized" and not has_key:
        made = "stellwerk access key-add wms --role operator --data DATA > FILE"
        lines.append(f"next step give a key, with --key-file or in {KEY}; `{made}` makes one")
    elif error.code in ("unavailable", "limit", "timeout") and again:
        lines.append(again)
    else:
        lines.append(f"next step {error.next}")
    _end(REFUSED, *lines)


def _end(code: int, *lines: str) -> NoReturn:
    first, *rest = (_plain(line) for line in lines if line)
    typer.echo("\n".join((f"stellwerk order: {first}", *rest)), err=True)
    raise typer.Exit(code)


def _key_of(file: Path | None) -> str:
    """Never from the command line: that is in the shell's history and in everybody's list of processes."""
    if file is None:
        return os.environ.get(KEY, "").strip()
    found = _bytes_of(file, KEY_BYTES_MAX, "the key")
    try:
        return found.decode("ascii").strip()
    except UnicodeDecodeError:
        _end(WRONG, f"{file} holds no key: it is swk_… and nothing else")


def _bytes_of(file: Path, most: int, what: str) -> bytes:
    try:
        if str(file) == "-":
            found = sys.stdin.buffer.read(most + 1)
        else:
            with file.open("rb") as stream:
                found = stream.read(most + 1)
    except OSError as error:
        _end(WRONG, f"{what} can't be read from {file}: {error}")
    if len(found) > most:
        _end(WRONG, f"{what} can't be read from {file}: it has more than {most} bytes")
    return found


# --- what stands on the command line ---


def _order_of(name: str, given: Mapping[str, Sequence[str]], sequence: Sequence[str], priority: int | None) -> NewOrder:
    from gateway.client import NewOrder, Step

    if not name:
        raise typer.BadParameter("give the order a name, or --file with whole orders")
    waiting = {option: iter(texts) for option, texts in given.items()}
    steps: list[Step] = []
    for option in sequence:
        if option not in waiting:
            continue
        load, to, skill = _aim(option, next(waiting[option]))
        after = (steps[-1].step,) if steps else ()
        steps.append(Step(str(len(steps) + 1), _KIND_BY_OPTION[option], load, to, skill, after=after))
    if not steps:
        raise typer.BadParameter(
            "an order has steps: --ship LOAD:DEST, --move LOAD:LOCATION, --work LOAD:SKILL[:PLACE]"
        )
    return NewOrder(name, tuple(steps), priority or 3)


def _aim(option: str, text: str) -> tuple[str, str, str]:
    """Load, where to, skill."""
    if option == "work":
        load, skill, to, *more = [*text.split(":"), "", ""][: max(3, text.count(":") + 1)]
        if not load or not skill or more:
            raise typer.BadParameter(f"--work {text!r} is not LOAD:SKILL or LOAD:SKILL:PLACE")
        return load, to, skill
    # A load's name may have a colon in it, a place's and a destination's may not.
    load, _, to = text.rpartition(":")
    if not load or not to:
        wanted = "LOAD:DEST" if option == "ship" else "LOAD:LOCATION"
        raise typer.BadParameter(f"--{option} {text!r} is not {wanted}")
    return load, to, ""


def _announced(text: str) -> tuple[str, str, tuple[str, ...]]:
    load, _, rest = text.partition("@")
    location, _, code = rest.partition("=")
    if not load or not location:
        raise typer.BadParameter(f"--announce {text!r} is not LOAD@LOCATION or LOAD@LOCATION=CODE")
    return load, location, (code,) if code else ()


def _orders_of(file: Path) -> NewOrder | list[NewOrder]:
    import msgspec

    from gateway.client import NewOrder

    data = _bytes_of(file, FILE_BYTES_MAX, "the order")
    try:
        return msgspec.json.decode(data, type=NewOrder | list[NewOrder])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _end(WRONG, f"{file} is no order and no list of orders: {error}", "next step see docs/integration.md for one")


def _states(said: Sequence[str]) -> list[OrderState]:
    from gateway.client.orders import OrderState

    known = get_args(OrderState)
    for state in said:
        if state not in known:
            raise typer.BadParameter(f"--state {state!r} is none: it is one of {', '.join(known)}")
    return [state for state in known if state in said]


# --- what is shown ---


def _outcome(result: Result) -> str:
    if result.accepted:
        return _plain(f"order {result.order} is accepted")
    return _plain(f"order {result.order} is refused: {result.detail}: {result.next}")


def _table(lines: Sequence[OrderLine]) -> str:
    head = ("order", "state", "version", "priority", "client", "accepted", "loads", "why")
    rows = [
        (
            line.order, line.state, str(line.version), str(line.priority), line.client, _minute(line.accepted_at),
            " ".join(line.loads), line.held or line.reason,
        )
        for line in lines
    ]  # fmt: skip
    return _columns([head, *rows])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    plain = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in plain)


def _described(order: Order, told: Explanation) -> Iterator[str]:
    until = f", wanted until {_minute(order.deadline)}" if order.deadline else ""
    yield _plain(f"order {order.order} of {order.client} is {order.state}, version {order.version}")
    yield f"priority {order.priority}{until}, accepted {_minute(order.accepted_at)}"
    rows = [("step", "what", "load", "to", "after", "state", "by")]
    for step in order.steps:
        what = " ".join(word for word in (step.kind, step.skill, step.recipe) if word)
        by = " ".join(word for word in (step.device, step.person) if word)
        rows.append((step.step, what, step.load, step.to, " ".join(step.after), step.state, by))
    yield _columns(rows)
    yield from (_plain(reason) for reason in told.reasons)


def _minute(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at is not None else "-"


def _print_json(found: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def _plain(text: str) -> str:
    """Hosts choose much of this: no escape sequence of theirs reaches a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
