"""Chelsio's T5 and T6 as data: one description for the emulator, driver, decoders and C.

`T5` and `T6` have the same attributes, so code reads `chip.tp.rss_rows` and never compares chips.

| question | file |
|---|---|
| what registers exist, and what are their fields? | `registers/*.csv`, read by `table.py` |
| what does an access to a register do? | `register.py`, column `access` |
| which registers does a dump read? | `ranges/*.csv`, read by `csvtables.py` |
| how big is a table; how do T5 and T6 differ? | a file per block: `cim.py`, `le.py`, ... |
| what is in the flash, the VPD, configuration space? | `flash.py`, `vpd.py`, `pci.py` |
| what does a firmware command look like? | `firmware/` |
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
