"""Eight rows of docs/reference/faults.md for each chip, measured once more in one guest.

`make faults` measures all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import rows
from tests.faults.cases import CARDS, CHOSEN, Case, Phase
from tests.faults.guest import MEMORIES, Lab, laboratory

pytestmark = [pytest.mark.guest, pytest.mark.interop]


@pytest.fixture(scope="module")
def lab(progress) -> Iterator[Lab]:
    with laboratory(progress) as lab:
        lab.expect(rows.read().values())
        yield lab


@pytest.mark.parametrize("chip", CARDS)
@pytest.mark.parametrize(("fault", "phase"), CHOSEN, ids=str)
def test_the_kernels_driver_does_what_a_row_says(
    lab: Lab, chip: str, fault: str, phase: Phase
) -> None:
    case = Case(chip, fault, phase)
    found, known = lab.measure(case, MEMORIES), rows.read()[case]
    assert found.outcome == known.outcome
    assert found.series != known.series or {*found.said} == {*known.said}
