"""The simplest firmware that the driver's whole probe accepts, on a card of plain memory.

It accepts the commands in its table, answers each query with a fixed value, and refuses unknown
commands, as firmware does. Layouts are those of t4fw_api.h; words are big-endian.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

from .cards import Card, Region
from .ram_card import BAR0_SIZE, RamCard

MAILBOX, CONTROL = 0x1F240, 0x1F280
OWNED_BY_DRIVER, VALID = 2, 8
EINVAL = 22
LDST, RESET, HELLO, BYE, CAPS, PARAMS, PFVF = 0x01, 0x03, 0x04, 0x05, 0x07, 0x08, 0x09
IQ, EQ_ETH, EQ_CTRL = 0x10, 0x12, 0x13
VI, VI_MAC, VI_RXMODE, VI_ENABLE, PORT = 0x14, 0x15, 0x16, 0x17, 0x1B
RSS_TABLE, RSS_VI, PTP = 0x20, 0x23, 0x3E
#: Commands that are accepted without data.
ACCEPTED = {LDST, RESET, BYE, CAPS, VI_MAC, VI_RXMODE, VI_ENABLE, RSS_TABLE, RSS_VI, PTP}
DEV, QUEUES, QUEUE = 1, 2, 4
#: Values of parameters, by (mnemonic, X).
VALUES = {
    (DEV, 0x00): 250_000,  # core clock, kHz
    (DEV, 0x01): 3,  # ports, a bit each
    (DEV, 0x1A): 0x01020000,
    (DEV, 0x1B): 0x12,
    (DEV, 0x2B): 16,  # traffic classes
    (DEV, 0x2E): 0x01FF01FF,  # filter mode and mask
    (QUEUES, 0x03): 0,  # CLIP entries: first and last
    (QUEUES, 0x04): 1023,
    (QUEUES, 0x05): 0x1F0,  # filters
    (QUEUES, 0x06): 0x2EF,
    (QUEUES, 0x13): 0,  # L2T entries
    (QUEUES, 0x14): 4095,
    (QUEUES, 0x29): 512,  # ingress queues with free lists: first
    (QUEUES, 0x2A): 1023,
    (QUEUES, 0x2B): 1024,  # egress queues
    (QUEUES, 0x2C): 2047,
    (QUEUES, 0x2D): 0,  # active filters
    (QUEUES, 0x2E): 0,
    (QUEUES, 0x31): 0,
    (QUEUES, 0x32): 0,  # high-priority filters
    (QUEUES, 0x33): 15,
    (QUEUES, 0x3A): 1,  # 32-bit port capabilities
}
#: SGE registers as firmware sets them for pages of 4 KiB.
SGE = {
    0x1008: 0x00040800,
    0x100C: 0x22222222,
    0x1010: 0x33333333,  # eight queues per page of BAR2
    0x10F4: 0x33333333,
    0x1044: 4096,
    0x1048: 65536,
    0x104C: 1536,
    0x1050: 9024,
    0x10A0: 0x01040810,
    0x9000: 1,  # MPS_CMN_CTL: two ports
}

Words = list[int]


class RamFirmware:
    """A RamCard whose mailbox answers. `commands` are the opcodes it received."""

    def __init__(self, generation: int) -> None:
        self.ram = RamCard(generation)
        self.commands: list[int] = []
        self._ingress = itertools.count(VALUES[QUEUES, 0x29])
        self._egress = itertools.count(VALUES[QUEUES, 0x2B])
        self._interfaces = itertools.count(1)
        self._answers: dict[int, Callable[[Words], int]] = {
            HELLO: self._hello,
            PARAMS: self._params,
            PFVF: self._pfvf,
            IQ: self._ingress_queue,
            EQ_ETH: self._egress_queue,
            EQ_CTRL: self._egress_queue,
            PORT: self._port,
            VI: self._interface,
            **{opcode: lambda words: 0 for opcode in ACCEPTED},
        }
        self.ram.writes[CONTROL] = self._control
        self.ram.put(CONTROL, OWNED_BY_DRIVER)
        self.ram.put(0x30B8, 1 << 30)  # PCIE_FW: initialised, no error
        for offset, value in SGE.items():
            self.ram.put(offset, value)

    @property
    def card(self) -> Card:
        bar2 = Region(lambda offset, length, data: bytes(length), 0x100000)
        bar0 = Region(self.ram.bar0_access, BAR0_SIZE)
        return Card(bar0=bar0, bar2=bar2, config=self.ram.card.config)

    def _control(self, value: int) -> None:
        if not value & VALID:
            self.ram.put(CONTROL, OWNED_BY_DRIVER)
            return
        words = [word for flit in self._flits() for word in (flit >> 32, flit & 0xFFFFFFFF)]
        opcode = words[0] >> 24
        self.commands.append(opcode)
        answer = self._answers.get(opcode)
        refused = answer(words) if answer else EINVAL
        words[1] = words[1] & ~0xFF00 | refused << 8
        flits = [high << 32 | low for high, low in zip(words[::2], words[1::2], strict=True)]
        struct.pack_into("<8Q", self.ram.bar0, MAILBOX, *flits)
        self.ram.put(CONTROL, VALID | OWNED_BY_DRIVER)

    def _flits(self) -> tuple[int, ...]:
        return struct.unpack_from("<8Q", self.ram.bar0, MAILBOX)

    def _hello(self, words: Words) -> int:
        words[2] = 1 << 30 | 4 << 24  # initialised, PF4 is master
        return 0

    def _params(self, words: Words) -> int:
        for index in range(2, 16, 2):
            key = (words[index] >> 24, words[index] >> 16 & 0xFF)
            if not words[index]:
                break
            if key not in VALUES and key[0] != QUEUE:
                return EINVAL
            words[index + 1] = VALUES.get(key, 0)
        return 0

    def _pfvf(self, words: Words) -> int:
        words[2] = 64 << 20 | 64
        words[3] = 64
        words[4] = 8 << 16 | 128
        return 0

    def _port(self, words: Words) -> int:
        words[2] = 1 << 31 | 1 << 13
        words[4] = 0
        words[5] = 0x000F0006
        words[6] = 6
        return 0

    def _interface(self, words: Words) -> int:
        number = next(self._interfaces)
        words[2] = number << 16 | 0x0007  # id; the MAC address begins in the lower half
        words[3] = 0x43000000 | number
        words[6] = 128 << 16  # rows of its RSS table
        return 0

    def _ingress_queue(self, words: Words) -> int:
        queue = next(self._ingress)
        words[2] = queue << 16 | queue
        words[3] = next(self._egress) << 16
        return 0

    def _egress_queue(self, words: Words) -> int:
        words[2] = next(self._egress)
        return 0
