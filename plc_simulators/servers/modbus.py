"""A conveyor model on Modbus TCP, as docs/plc-interface.md lays out its holding registers.

Every request is answered from the model at that moment, in one piece. Any unit number is answered: there is one
PLC behind the address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from plc_simulators.models.conveyor import Conveyor
from plc_simulators.models.mailbox import Offer
from plc_simulators.servers.ports import HOST, listening_port

ZONES_AT = 100
ZONE_STRIDE = 8
COMMANDS_AT = 1000
COMMANDS = 9
"""hb_gw, cmd_epoch (2), cmd_code, cmd_zone, cmd_track_id (2), cmd_seq (2)."""
SEQ_LAST = 8


def words(value: int) -> tuple[int, int]:
    """A u32 as two registers, high word first."""
    return value >> 16 & 0xFFFF, value & 0xFFFF


def number(high: int, low: int) -> int:
    """Two registers, high word first, as a u32."""
    return high << 16 | low


class ModbusServer:
    """Serves one conveyor on a free loopback port; `close` and `open` again drop and restore its link.

    `clock` gives the plant time in ns, `real` the real one.
    """

    def __init__(self, conveyor: Conveyor, clock: Callable[[], int], real: Callable[[], int]) -> None:
        self.port = 0
        self._conveyor = conveyor
        self._clock = clock
        self._real = real
        self._server: ModbusTcpServer | None = None
        self._size = ZONES_AT + ZONE_STRIDE * len(conveyor.zones)
        self._command = [0] * COMMANDS

    @property
    def address(self) -> str:
        """What the site's environment variable holds."""
        return str(self.port)

    async def open(self) -> None:
        """Listen, on the same port as before where there was one. Raises OSError."""
        if self._server is not None:
            return
        device = SimDevice(
            id=0,
            simdata=[
                SimData(0, count=self._size, values=0, datatype=DataType.REGISTERS, readonly=True),
                SimData(COMMANDS_AT, count=COMMANDS, values=0, datatype=DataType.REGISTERS),
            ],
            action=self._serve,
        )
        server = ModbusTcpServer(device, address=(HOST, self.port))
        try:
            await server.serve_forever(background=True)
        except RuntimeError as problem:
            raise OSError(f"{self._conveyor.layout.id}: can't listen on {HOST}:{self.port}") from problem
        self._server = server
        self.port = listening_port(server.transport)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()  # type: ignore[no-untyped-call]

    async def flush(self) -> None:
        """Nothing to push: registers are read from the model."""

    async def _serve(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if function_code not in (3, 6, 16):
            return ExcCodes.ILLEGAL_FUNCTION
        if values is not None:
            self._write(address - COMMANDS_AT, [int(value) for value in values])
        elif address < COMMANDS_AT:
            registers[address - start_address : address - start_address + count] = self._image()[
                address : address + count
            ]
        return None

    def _image(self) -> list[int]:
        controller = self._conveyor.controller
        box = controller.mailbox
        image = [controller.life.hb_plc, controller.boot_id, *words(box.epoch), *words(box.ack_seq)]
        image += [*words(box.done_seq), box.result, controller.unit.state, controller.mode]
        image += [0] * (ZONES_AT - len(image))
        for zone in self._conveyor.zones:
            image += [zone.status(), zone.arrivals, zone.departures, *words(zone.track_id), 0, 0, 0]
        return image

    def _write(self, offset: int, values: Sequence[int]) -> None:
        """Registers 1000 … were written: a command is one when its last word has been."""
        self._command[offset : offset + len(values)] = values
        heartbeat, epoch_high, epoch_low, code, zone, track_high, track_low, seq_high, seq_low = self._command
        if offset == 0:
            self._conveyor.controller.life.hear(heartbeat, self._real())
        if offset <= SEQ_LAST < offset + len(values):
            payload = {"zone": zone, "track_id": number(track_high, track_low)}
            offer = Offer(number(seq_high, seq_low), number(epoch_high, epoch_low), code, payload)
            self._conveyor.controller.mailbox.offer(offer, self._clock())
