"""TCP's tables as the driver sets them up: MTUs, and how a window grows in one round trip.

Values: t4_hw.c, init_cong_ctrl() and t4_load_mtus(); cxgb4_main.c, the default MTUs.
"""

from __future__ import annotations

MTUS = (88, 256, 512, 576, 808, 1024, 1280, 1488, 1500, 2002, 2048, 4096, 4352, 8192, 9000, 9600)
# fmt: off
PACKETS = (
    2, 6, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1281, 1792, 2560, 3584,
    5120, 7168, 10240, 14336, 20480, 28672, 40960, 57344, 81920, 114688, 163840, 229376,
)
"""Packets of a window, on average."""
ALPHA = (
    1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 17, 21, 25, 30, 35, 45, 60, 80, 100,
    200, 300, 400, 500,
)
"""How much the window grows."""
BETA = (
    0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6, 7, 7,
)
"""How much it shrinks: a logarithm."""
# fmt: on
HEADERS_BYTES = 40
MIN_INCREMENT = 2


def mtu_width(mtu: int) -> int:
    """The logarithm of an MTU, rounded."""
    log2 = mtu.bit_length()
    return log2 if mtu & (1 << log2 >> 2) else log2 - 1


def increment(mtu: int, window: int) -> int:
    """The additive increment of a window, in bytes."""
    return max((mtu - HEADERS_BYTES) * ALPHA[window] // PACKETS[window], MIN_INCREMENT)
