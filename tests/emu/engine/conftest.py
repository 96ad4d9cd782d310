"""An engine without a card, for each chip."""

from __future__ import annotations

import pytest
from filters import Filters
from rxdriver import Rig

from vmcoredd.chip import T5, T6, Chip


@pytest.fixture
def filters(rig: Rig) -> Filters:
    return Filters(rig)


@pytest.fixture(params=[T5, T6], ids=["t5", "t6"])
def rig(request: pytest.FixtureRequest) -> Rig:
    chip: Chip = request.param
    return Rig(chip)
