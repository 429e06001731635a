"""Where requests come from beside the HTTP API: a carrier (`kind`), a format, and a mapping to requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.site.channel_mapping import MappingSpec
from gateway.site.mqtt import BrokerSpec
from gateway.site.outward import is_this_machine
from gateway.site.spec import Id, Spec

Kind = Literal["folder", "mqtt", "table", "hook"]
Format = Literal["request", "json", "csv", "edifact", "x12", "shopify", "woocommerce"]
SHOPS = ("shopify", "woocommerce")
EDI = ("edifact", "x12")
PATTERNS: dict[str, str] = {"csv": "*.csv", "edifact": "*.edi", "x12": "*.x12"}
OTHER_PATTERN = "*.json"
SETTLE_MS = 1_000

SqlName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class FolderSpec(Spec):
    """Files that are dropped in a folder."""

    path: str = ""
    """The folder; "" = `<data>/inbox/<channel>`."""
    pattern: Annotated[str, Field(pattern=r"^[^/\\]{1,100}$")] | None = None
    """Which names are taken, such as `*.csv`; None = by the format. Names that begin with a dot never are."""
    settle_ms: Annotated[int, Field(ge=0, le=600_000)] | None = None
    """A file is taken when its size and time have not changed for so long. 0 is for hosts that write under another
    name and rename. None = 0 for `request`, 1000 for all others."""
    bytes_max: Annotated[int, Field(ge=1_024, le=4 * 2**30)] | None = None
    """None = 1 GiB for csv, which is read in slices; 4 MiB for all others."""
    in_flight_max: Annotated[int, Field(ge=1, le=5_000)] = 500
    """Requests of a file that are under way at a time."""
    reply: Literal["all", "refused"] = "all"
    """Which requests the reply file lists; how many there were it says in any case."""
    remember_hours: Annotated[int, Field(ge=0, le=8_760)] = 168
    """A file with the same content as one taken within so long is not carried out again. 0 = only request ids say."""
    acknowledge: bool = False
    """EDI: write the acknowledgement (CONTRL, 997) beside the reply, as `<name>.ack` with the file's ending."""


class CsvSpec(Spec):
    """How a host writes its CSV."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    encoding: Literal["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"] = "utf-8-sig"
    """utf-8-sig reads UTF-8 with and without a byte order mark."""
    columns: tuple[str, ...] = Field(default=(), max_length=1_000)
    """The names where the file has no header line; empty = the first line is the header."""
    required: tuple[str, ...] = Field(default=(), max_length=1_000)
    """Columns without which a file is refused."""
    line_length_max: Annotated[int, Field(ge=16, le=10_000_000)] = 65_536
    rows_max: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000_000
    newline_at_end: bool = True
    """Refuse a last line without a newline: it may be half written."""
    end_mark: str = ""
    """The first cell of the last line, such as END; a file without it is half written. "" = no such line."""

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvSpec:
        if self.delimiter == self.quote or {self.delimiter, self.quote} & set("\r\n\0\ufeff"):
            raise ValueError("`delimiter` and `quote` must be two different characters that are no newlines")
        wrong = [name for name in self.columns if not name.strip() or name.startswith("@")]
        if wrong or len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` must be different names that are not empty and do not begin with @")
        missing = [name for name in self.required if self.columns and name not in self.columns]
        if missing:
            raise ValueError(f"`required` names {missing[0]!r}, which is not among `columns`")
        return self


class JsonSpec(Spec):
    path: str = ""
    """Where in the document the list of records stands, such as `data.orders`; "" = it is the record or the list."""


class MqttChannelSpec(Spec):
    """Messages of a topic. A message is acknowledged when its requests are durable."""

    broker: BrokerSpec = BrokerSpec()
    topic: Annotated[str, Field(pattern=r"^[^#+$\x00-\x1f][^\x00-\x1f]*$", max_length=500)]
    """May hold the wildcards + and #, but not begin with one."""
    reply_topic: Annotated[str, Field(pattern=r"^([^#+$\x00-\x1f][^#+\x00-\x1f]*)?$", max_length=500)] = ""
    """Where answers are published; "" = nowhere."""
    qos: Literal[1] = 1
    """Of both. 0 loses messages, and 2 costs twice the round trips for what request ids do anyway."""
    bytes_max: Annotated[int, Field(ge=64, le=4 * 2**20)] = 256 * 1024
    in_flight_max: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Messages under way at a time; the broker has such a limit, too (Mosquitto: 20)."""

    @model_validator(mode="after")
    def _way_is_sound(self) -> MqttChannelSpec:
        broker = self.broker
        if broker.tls is None and not is_this_machine(broker.host):
            raise ValueError(
                f"the broker {broker.host}:{broker.port} is reached over the network without TLS: give "
                "`tls: {ca_file: …}`, or waive it with `tls: waived`"
            )
        levels = self.topic.split("/")
        if any(("#" in level and (level != "#" or n != len(levels) - 1)) for n, level in enumerate(levels)) or any(
            "+" in level and level != "+" for level in levels
        ):
            raise ValueError(f"`topic` {self.topic!r}: + stands alone in its level, and # alone in the last one")
        if self.reply_topic and covers(self.topic, self.reply_topic):
            raise ValueError(f"answers on {self.reply_topic!r} would come back as requests: `topic` covers it")
        return self


class TableSpec(Spec):
    """Two tables of a PostgreSQL database: the host writes into one and reads the other."""

    dsn_file: str = ""
    """File with the connection string: `postgresql://user:password@host/database`."""
    dsn_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    """Environment variable with the connection string, in place of the file."""
    tls: Literal["waived"] | None = None
    """A database on another machine needs `sslmode=verify-full` in the string, or this."""
    schema_name: SqlName = Field(default="public", alias="schema")
    inbox: SqlName = "stellwerk_in"
    outbox: SqlName = "stellwerk_out"
    id_column: SqlName = "id"
    payload_column: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,62})?$")] = "payload"
    """Column with the message, jsonb or text; "" = the row itself is the record (format json)."""
    taken_column: SqlName = "taken_at"
    """Null while the row waits; the gateway sets it when the row is answered."""
    notify: SqlName = "stellwerk_in"
    """The channel of NOTIFY on which the host may wake the gateway. It looks anyway."""
    poll_s: Annotated[float, Field(ge=0.05, le=3_600)] = 2.0
    batch_max: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Rows that are taken and answered in one transaction."""
    bytes_max: Annotated[int, Field(ge=64, le=4 * 2**20)] = 256 * 1024
    events: bool = True
    """Tell in the outbox what becomes of the orders of this channel."""
    events_waiting_max: Annotated[int, Field(ge=100, le=1_000_000)] = 100_000
    """Events that are kept while the database is away; one more, and the oldest is dropped."""

    @model_validator(mode="after")
    def _one_source(self) -> TableSpec:
        if bool(self.dsn_file) == bool(self.dsn_env):
            raise ValueError("give the connection string by `dsn_file` or by `dsn_env`: one of the two")
        if self.inbox == self.outbox:
            raise ValueError(f"`inbox` and `outbox` are both {self.inbox!r}: they are two tables")
        return self


class HookSpec(Spec):
    """A shop's webhook. It is received by the HTTP API at `/api/v1/hooks/<channel>`."""

    secret_file: Annotated[str, Field(min_length=1)]
    """File with the secret by which the shop signs. Read anew at each delivery."""
    bytes_max: Annotated[int, Field(ge=1_024, le=4 * 2**20)] = 1024 * 1024


class ChannelSpec(Spec):
    """Where requests come from. Without more than an id: JSON files with requests, dropped in `<data>/inbox/<id>/`."""

    id: Id
    kind: Kind = "folder"
    format: Format = "request"
    """What a message is: our own requests, or the host's records, which `mapping` turns into requests."""
    folder: FolderSpec | None = None
    mqtt: MqttChannelSpec | None = None
    table: TableSpec | None = None
    hook: HookSpec | None = None
    csv: CsvSpec | None = None
    json_: JsonSpec | None = Field(default=None, alias="json")
    mapping: MappingSpec | None = None

    @model_validator(mode="after")
    def _blocks_fit(self) -> ChannelSpec:
        for name in ("folder", "mqtt", "table", "hook"):
            if getattr(self, name) is not None and name != self.kind:
                raise ValueError(f"a channel of kind {self.kind} has no `{name}` block: remove it, or change `kind`")
        if self.kind != "folder" and getattr(self, self.kind) is None:
            raise ValueError(f"a channel of kind {self.kind} needs a `{self.kind}` block")
        for name, block in (("csv", self.csv), ("json", self.json_)):
            if block is not None and self.format != name:
                raise ValueError(f"format is {self.format}, so there is no `{name}` block: remove it, or change it")
        if (self.mapping is None) != (self.format == "request"):
            way_on = "needs a `mapping`" if self.mapping is None else "has no `mapping`: its messages are requests"
            raise ValueError(f"format {self.format} {way_on}")
        if self.kind == "hook" and self.format not in SHOPS:
            raise ValueError(f"a hook takes {' or '.join(SHOPS)}, whose signatures it can check, not {self.format}")
        if self.folder is not None and self.folder.acknowledge and self.format not in EDI:
            raise ValueError(f"`acknowledge` is for {' and '.join(EDI)}, not for {self.format}: remove it")
        if self.table is not None and not self.table.payload_column and self.format != "json":
            raise ValueError("`payload_column` is empty, so rows are records: that is format json")
        return self


def covers(topic_filter: str, topic: str) -> bool:
    """Whether a message on `topic` comes to who subscribes to `topic_filter` (MQTT 3.1.1, 4.7)."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for number, level in enumerate(wanted):
        if level == "#":
            return True
        if number >= len(given) or level not in ("+", given[number]):
            return False
    return len(wanted) == len(given)
