"""The site as people write it in YAML: one pydantic model a block, nothing optional that must be said.

Lengths are millimetres, speeds mm/s, times milliseconds or seconds as the name's last word says. Ids are unique
over the whole site for devices and locations together, because people say them on the radio.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.site.channels import ChannelSpec
from gateway.site.http import HttpSpec
from gateway.site.mqtt import MqttTls
from gateway.site.outward import OutwardSpec
from gateway.site.profile import Profile
from gateway.site.spec import Id, Port, Positive, Spec


class SiteInfo(Spec):
    """The site's own data."""

    id: Id
    name: str
    timezone: str = "UTC"


# --- the floor ---


class NodeSpec(Spec):
    id: Id
    x_mm: int
    y_mm: int


class EdgeSpec(Spec):
    """A way from one node to another; one-way unless `both_ways`."""

    from_node: Id = Field(alias="from")
    to_node: Id = Field(alias="to")
    both_ways: bool = False
    speed_max_mm_s: Positive = 1500


class MapSpec(Spec):
    """The AGV roadmap. Nodes nearer than `clearance_mm` to one another exclude each other."""

    id: Id = "floor"
    clearance_mm: Positive = 900
    nodes: tuple[NodeSpec, ...] = ()
    edges: tuple[EdgeSpec, ...] = ()


LocationKind = Literal["rack", "transfer", "lane", "station", "cell"]


class LocationSpec(Spec):
    """A place that can hold `capacity` loads. `node`: where a vehicle stands to pick and drop there."""

    id: Id
    kind: LocationKind
    capacity: Positive = 1
    node: Id | None = None


# --- connections ---


class ModbusTls(Spec):
    """Files in PEM. `server_name`: what the PLC's certificate is made for, where it is not `host`.

    `cert_file` and `key_file` are the gateway's own, for a PLC that asks for them; without `key_file` the key stands
    in `cert_file`.
    """

    ca_file: str
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


class ModbusSerial(Spec):
    """A serial line (RTU) with one or more units on it. 8 data bits always: RTU has no other.

    Source of the defaults: Modbus over Serial Line 1.02. Without parity it asks for 2 stop bits; many devices have 1.
    """

    device: Annotated[str, Field(min_length=1)]
    """`/dev/ttyUSB0`, or better a name below `/dev/serial/by-id/`, which stays the same when adapters are replugged."""
    baudrate: Annotated[int, Field(ge=1200, le=3_000_000)] = 19_200
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1


class ModbusConnection(Spec):
    """A unit behind a host and port, or on a serial line: one of the two."""

    host: str = "127.0.0.1"
    port: Port = 502
    unit: Annotated[int, Field(ge=0, le=247)] = 1
    timeout_ms: Positive = 1000
    tls: ModbusTls | None = None
    """Modbus/TCP Security; its port is usually 802 and has to be said."""
    serial: ModbusSerial | None = None
    """In place of `host`, `port` and `tls`."""

    @model_validator(mode="after")
    def _one_way_only(self) -> ModbusConnection:
        if self.serial is None:
            return self
        # The values are compared, not what was said: the site in the journal has its defaults written out.
        said = [
            name
            for name, value in (("host", "127.0.0.1"), ("port", 502), ("tls", None))
            if getattr(self, name) != value
        ]
        if said:
            raise ValueError(f"a device is on a serial line or behind an address: remove {', '.join(said)} or `serial`")
        if self.unit == 0:
            raise ValueError("unit 0 is everybody on a serial line, and nobody answers: give the unit's own, 1 to 247")
        return self

    @property
    def address(self) -> str:
        """What tells this connection from others, as it is shown: `host:port` or the serial device."""
        return self.serial.device if self.serial is not None else f"{self.host}:{self.port}"


class OpcuaSecurity(Spec):
    """A session that is signed, or signed and encrypted, with a server that is trusted (OPC 10000-4, 10000-7)."""

    policy: Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "Basic256Sha256"
    mode: Literal["sign", "sign_and_encrypt"] = "sign_and_encrypt"
    pki: Annotated[str, Field(min_length=1)] = "pki"
    """Folder of `stellwerk pki`: own certificate and key, trusted servers."""
    user: str = ""
    """Name for a login with a password; without it the session is anonymous behind the certificate."""
    password_file: str = ""
    """File with the password in it; it never stands in the YAML."""
    user_certificate: str = ""
    """File (DER or PEM) of a certificate to log in with, instead of a name and a password."""
    user_key: str = ""
    """File (PEM or DER, without a password) of its private key."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> OpcuaSecurity:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("`user` and `password_file` go together: give both or neither")
        if bool(self.user_certificate) != bool(self.user_key):
            raise ValueError("`user_certificate` and `user_key` go together: give both or neither")
        if self.user and self.user_certificate:
            raise ValueError("one login: either `user` with `password_file`, or `user_certificate` with `user_key`")
        return self


class OpcuaConnection(Spec):
    url: Annotated[str, Field(pattern=r"^opc\.tcp://.+")]
    timeout_ms: Positive = 4000
    publishing_interval_ms: Positive = 20
    sampling_interval_ms: Annotated[int, Field(ge=0)] | None = None
    """How often the server looks at each value: the publishing interval where it is not said, 0 as fast as it can."""
    queue_size: Annotated[int, Field(ge=1, le=1000)] = 1
    """Changes of one value that the server keeps between two messages. Of a level only the last one counts."""
    security: Literal["none"] | OpcuaSecurity
    """Must be said for each device: `none` waives encryption and identity."""


class VdaConnection(Spec):
    """Broker and topic of one vehicle: `<interface>/v2|v3/<manufacturer>/<serial>/…`.

    `host`, `port`, `tls`, `user` and `password_file` are the broker's: the same for all vehicles behind it.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    tls: Literal["waived"] | MqttTls | None = None
    """A broker that is not on this machine needs it, or `waived`; its port is usually 8883 and has to be said."""
    user: str = ""
    """The gateway's own name at the broker; without it the login is anonymous, or by certificate alone."""
    password_file: str = ""
    """File with the password in it; it never stands in the YAML."""
    interface: str = "uagv"
    manufacturer: Annotated[str, Field(pattern=r"^[^/+#$]+$")]
    serial: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:\-]+$")]

    @model_validator(mode="after")
    def _login_is_whole(self) -> VdaConnection:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("`user` and `password_file` go together: give both or neither")
        return self


# --- devices ---


class RunSpec(Spec):
    """A way over a conveyor: loads put at `from` (zone `zone_first`) come out at `to` after `zone_last`.

    `loads_max` is the hold-back: loads for a full run are held where they are, not sent.
    """

    from_location: Id = Field(alias="from")
    to_location: Id = Field(alias="to")
    zone_first: Positive
    zone_last: Positive
    loads_max: Positive


class ConveyorSpec(Spec):
    type: Literal["conveyor"]
    id: Id
    driver: Literal["modbus", "loopback"]
    profile: Id
    connection: ModbusConnection = ModbusConnection()
    zones: Annotated[int, Field(ge=1, le=250)]
    zone_length_mm: Positive = 700
    speed_mm_s: Positive = 600
    runs: Annotated[tuple[RunSpec, ...], Field(min_length=1)]


class SorterLaneSpec(Spec):
    lane: Positive
    location: Id


class SorterSpec(Spec):
    type: Literal["sorter"]
    id: Id
    driver: Literal["opcua", "loopback"]
    profile: Id
    connection: OpcuaConnection
    infeed: Id
    speed_mm_s: Positive = 1000
    scan_to_first_divert_mm: Positive = 2000
    lane_pitch_mm: Positive = 1000
    lanes: Annotated[tuple[SorterLaneSpec, ...], Field(min_length=1)]
    reject_lane: Positive


class RobotCellSpec(Spec):
    type: Literal["robot_cell"]
    id: Id
    driver: Literal["opcua", "loopback"]
    profile: Id
    connection: OpcuaConnection
    infeed: Id
    outfeed: Id
    skills: Annotated[tuple[str, ...], Field(min_length=1)]
    recipes: tuple[str, ...] = ()


class AgvSpec(Spec):
    """A vehicle. `home` is its own parking node: off every other vehicle's way."""

    type: Literal["agv"]
    id: Id
    driver: Literal["vda5050", "loopback"]
    profile: Id
    connection: VdaConnection
    home: Id
    speed_max_mm_s: Positive = 1500
    battery_min_percent: Annotated[int, Field(ge=0, le=100)] = 20


class WorkstationSpec(Spec):
    type: Literal["workstation"]
    id: Id
    driver: Literal["people"] = "people"
    location: Id


DeviceSpec = Annotated[
    ConveyorSpec | SorterSpec | RobotCellSpec | AgvSpec | WorkstationSpec, Field(discriminator="type")
]

# --- work, people, policies ---


class SortDestination(Spec):
    """Lanes of one destination, best first; up to three alternates after the primary."""

    sorter: Id
    lanes: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=4)]


class SortPlanSpec(Spec):
    id: Id
    destinations: dict[Id, SortDestination]


class PersonSpec(Spec):
    id: Id
    name: str = ""
    skills: Annotated[tuple[str, ...], Field(min_length=1)]


class PolicySpec(Spec):
    """Numbers that rule the dispatcher; every one of them is a limit or a time."""

    orders_open_max: Positive = 10_000
    orders_released_max: Positive = 24
    sort_tries_max: Positive = 3
    leg_tries_max: Positive = 3
    base_nodes_max: Positive = 4
    clarify_skill: str = "clarify"
    ack_timeout_ms: Positive = 2_000
    send_tries_max: Positive = 5
    done_timeout_ms: Positive = 60_000
    drive_stuck_s: Positive = 60
    charge_below_percent: Annotated[int, Field(ge=0, le=100)] = 80
    """An idle vehicle on its parking place charges when its battery is lower than this."""
    pick_failed: Literal["retry", "abort", "ask"] = "retry"
    """A vehicle could not pick: plan it anew up to `leg_tries_max` times, fail the order at once, or ask a person."""
    drop_failed: Literal["retry", "abort", "ask"] = "retry"
    charge_failed: Literal["retry", "skip"] = "retry"
    """A vehicle could not begin to charge: tell it again and again, or only when it is parked the next time."""


class JournalSpec(Spec):
    """How much of the past is kept: beyond `disk_mib_max` MiB the oldest inputs make room, as far as restarts allow."""

    disk_mib_max: Annotated[int, Field(ge=16)] = 2_048


class MetricsSpec(Spec):
    """Where Prometheus may ask for the links' figures: `http://<host>:<port>/metrics`.

    There is no login: keep `host` on this machine, or behind a proxy that asks for one.
    """

    port: Port
    host: str = "127.0.0.1"


class Site(Spec):
    """A whole site. Profiles are resolved by name from the site's own and the shipped ones."""

    site: SiteInfo
    map: MapSpec = MapSpec()
    locations: tuple[LocationSpec, ...] = ()
    devices: tuple[DeviceSpec, ...] = ()
    profiles: tuple[Profile, ...] = ()
    sort_plan: SortPlanSpec | None = None
    people: tuple[PersonSpec, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    policies: PolicySpec = PolicySpec()
    journal: JournalSpec = JournalSpec()
    metrics: MetricsSpec | None = None
    http: HttpSpec | None = None
    outward: OutwardSpec = OutwardSpec()
