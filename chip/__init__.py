"""What a Chelsio T5 or T6 is: data, described once, for emulator, driver, decoder and C alike.

`T5` and `T6` are records of the same shape. Code asks the record (`chip.tp.rss_rows`), never which
chip it is.
"""

if __name__ != "vmcoredd.chip":
    raise ImportError("import vmcoredd.chip, not chip")

from vmcoredd.chip.model import T5, T6, Chip, chip_of_device
from vmcoredd.chip.register import BAR0, Field, Location, Register, UnknownRegister
from vmcoredd.chip.table import Registers

__all__ = [
    "BAR0",
    "T5",
    "T6",
    "Chip",
    "Field",
    "Location",
    "Register",
    "Registers",
    "UnknownRegister",
    "chip_of_device",
]
