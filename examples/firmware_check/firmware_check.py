"""Says whether the firmware of a Chelsio card runs: python firmware_check.py SOCKET

Somebody's script. It speaks vfio-user and knows one register (Linux's t4_regs.h, t4fw_api.h).
Exit codes: 0 it runs, 1 it does not, 2 the card does not answer.
"""

import sys

from pyvfio_user import Client, VfioUserError

PCIE_FW = 0x30B8
ERR, INIT, HALT = 1 << 31, 1 << 30, 1 << 29
REASONS = {1: "preparation", 2: "configuration", 3: "initialization", 4: "unexpected event"}
REASONS |= {5: "overheat", 6: "device shutdown"}


def judge(word: int) -> tuple[int, str]:
    """Returns the exit code and a sentence for a value of PCIE_FW."""
    if word == 0xFFFF_FFFF:
        return 2, "the card is gone: its registers read as all ones"
    if word & ERR:
        return 1, f"the firmware has stopped: {REASONS.get(word >> 24 & 7, 'crash')}"
    if word & HALT:
        return 1, "the firmware is halted"
    if not word & INIT:
        return 1, "the firmware waits for a driver to initialise it"
    return 0, "the firmware runs"


def main(path: str) -> int:
    """Prints the sentence; returns the exit code."""
    try:
        with Client(path) as card:
            word = int.from_bytes(card.region_read(0, PCIE_FW, 4), "little")
    except VfioUserError as error:
        print(error)
        return 2
    code, sentence = judge(word)
    print(sentence)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
