"""What the gateway tells others by itself: webhooks, MQTT events in a unified namespace, a Sparkplug B edge node."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.site.mqtt import BrokerSpec
from gateway.site.spec import Id, Positive, Spec

EventKind = Literal["order", "step", "alarm"]
Events = Annotated[tuple[EventKind, ...], Field(min_length=1)]
ALL: tuple[EventKind, ...] = ("order", "step", "alarm")
MQTT: Final = "mqtt"
SPARKPLUG: Final = "sparkplug"
"""What these two are called among the targets; no webhook may have such an id."""

Waiting = Annotated[int, Field(ge=100, le=5_000_000)]
Hours = Annotated[int, Field(ge=1, le=8_760)]
SparkplugId = Annotated[str, Field(pattern=r"^[^/+#\x00-\x1f]{1,128}$")]
"""Any text that may stand in one level of a topic (Sparkplug 3.0, chapter 4)."""


class WebhookSpec(Spec):
    """An address that is told of events by HTTP POST. See docs/outward.md for what is sent."""

    id: Id
    url: str
    secret_file: Annotated[str, Field(min_length=1)]
    """File with one secret, or two while it is being changed: `whsec_` and 24 to 64 bytes in base64, one a line."""
    events: Events = ALL
    client: str = ""
    """Only orders and steps of this client; "" is all. Alarms belong to nobody and are told to all."""
    tls: Literal["waived"] | None = None
    """`http://` to another machine needs `waived`: whoever listens on the way reads what is sent."""
    ca_file: str | None = None
    """Authorities (PEM) that may have signed the server's certificate; None is those of the machine."""
    timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 15_000
    in_flight_max: Annotated[int, Field(ge=1, le=64)] = 8
    batch_max: Annotated[int, Field(ge=1, le=500)] = 1
    """1: each request is one event. More: each request is a JSON list of up to so many."""
    tries_max: Annotated[int, Field(ge=1, le=100)] = 5
    """So often an event that the host refuses for good (400, 404, 422 …) is sent before it is a dead letter."""
    backoff_max_s: Annotated[int, Field(ge=1, le=3_600)] = 60
    waiting_max: Waiting = 200_000
    waiting_hours_max: Hours = 168
    dead_letters_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000

    @model_validator(mode="after")
    def _address_is_sound(self) -> WebhookSpec:
        try:
            parts = urlsplit(self.url)
            port_is_sound = parts.port is None or parts.port > 0
        except ValueError as error:
            raise ValueError(f"`url` {self.url!r} is no address ({error}): write https://host/path") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_sound:
            raise ValueError(f"`url` {self.url!r} must be https://host/path, or http://… to this machine")
        if parts.username or parts.password:
            raise ValueError("`url` must hold no user and no password: the signature is how a host knows us")
        if parts.fragment:
            raise ValueError(f"`url` must have no part after #: no server would see {parts.fragment!r}")
        if parts.scheme == "http" and self.tls is None and not is_this_machine(parts.hostname):
            raise ValueError(
                f"`url` goes to {parts.hostname} over the network without TLS: use https://, or say `tls: waived`"
            )
        if parts.scheme == "http" and self.ca_file:
            raise ValueError("`ca_file` is for https:// only: remove it, or correct `url`")
        return self


class UnifiedSpec(Spec):
    """Events and levels on MQTT, below one root that follows ISA-95: `enterprise/site/area`."""

    broker: BrokerSpec = BrokerSpec()
    root: Annotated[str, Field(pattern=r"^[^/+#$\x00-\x1f][^/+#\x00-\x1f]*(/[^/+#\x00-\x1f]+)*$", max_length=500)]
    """Every gateway at a broker needs one of its own."""
    qos: Literal[0, 1] = 1
    """Of events. With 0 an event counts as delivered when it is written, and may be lost on the way."""
    events: Events = ALL
    client: str = ""
    sample_ms: Annotated[int, Field(ge=50, le=60_000)] = 500
    """How often states and alarms are looked at; what came and went in between is not shown as a level."""
    waiting_max: Waiting = 200_000
    waiting_hours_max: Hours = 168

    @model_validator(mode="after")
    def _line_is_safe(self) -> UnifiedSpec:
        _require_tls(self.broker)
        return self


class SparkplugSpec(Spec):
    """A Sparkplug B edge node whose devices are the site's."""

    broker: BrokerSpec = BrokerSpec()
    group_id: SparkplugId
    edge_node_id: SparkplugId
    primary_host: Annotated[str, Field(pattern=r"^[^/+#\x00-\x1f]{0,128}$")] = ""
    """Be born only while this host application says that it is online; "" waits for nobody."""
    sample_ms: Annotated[int, Field(ge=50, le=60_000)] = 1_000
    telemetry_max: Annotated[int, Field(ge=0, le=500)] = 64
    """Live values of a device that become metrics; 0 is none."""

    @model_validator(mode="after")
    def _line_is_safe(self) -> SparkplugSpec:
        _require_tls(self.broker)
        return self


class OutwardSpec(Spec):
    """Whom the gateway tells what happens."""

    webhooks: Annotated[tuple[WebhookSpec, ...], Field(max_length=50)] = ()
    mqtt: UnifiedSpec | None = None
    sparkplug: SparkplugSpec | None = None
    memory_max: Positive = 50_000
    """Events in memory that are not on the disk yet. One more, and none is kept until the gateway starts again, which
    finds them in the journal."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> OutwardSpec:
        seen = {MQTT, SPARKPLUG}
        for hook in self.webhooks:
            if hook.id in seen:
                raise ValueError(f"webhook id {hook.id} is taken: each target needs an id of its own")
            seen.add(hook.id)
        return self


def is_this_machine(host: str) -> bool:
    """Whether `host` can only be this machine, whatever a name server says."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _require_tls(broker: BrokerSpec) -> None:
    if broker.tls is None and not is_this_machine(broker.host):
        raise ValueError(
            f"the broker {broker.host}:{broker.port} is reached over the network without TLS: give "
            "`tls: {ca_file: …}`, or waive it with `tls: waived`"
        )
