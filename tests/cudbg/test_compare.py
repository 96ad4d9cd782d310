"""What differs between two dumps, in words."""

from __future__ import annotations

import re

from carddump import collected
from doctored import doctored

from vmcoredd.chip import T6
from vmcoredd.cudbg.compare import in_words


def test_a_register_shows_its_instance_and_the_fields_that_changed_in_one_line() -> None:
    healthy = collected(T6).dump
    (line,) = in_words(healthy, doctored({0x50878: 4}), "REG_DUMP", 10)
    assert re.fullmatch(
        r"registers, row \d+, EDC_H_INT_CAUSE EDC1: "
        r"value 0x00000000 -> 0x00000004, ECC_UE_INT_CAUSE 0x0 -> 0x1",
        line,
    )


def test_a_table_is_named_by_its_title_without_the_remarks() -> None:
    healthy = collected(T6).dump
    log = doctored({}, DEV_LOG={0: 0xFFFFFF})
    lines = in_words(healthy, log, "DEV_LOG", 3)
    assert lines
    assert all(line.startswith("device log, row ") for line in lines)


def test_no_more_lines_than_wanted_are_made() -> None:
    registers = {0x50078 + 0x800 * i: 4 for i in range(2)}
    assert len(in_words(collected(T6).dump, doctored(registers), "REG_DUMP", 1)) == 1
