"""The registration of entities: a file in cudbg/entities/ is enough for a new one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmcoredd.cudbg import entities as package
from vmcoredd.cudbg import entity as module
from vmcoredd.cudbg.entity import Entity, Stage, entities, entity

FILE = """
from vmcoredd.cudbg.entity import Entity, Stage, entity


@entity(71, "NEW")
class New(Entity):
    pass


@entity(72, "NEW_MEMORY")
class NewMemory(Entity):
    stage = Stage.MEMORIES
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets what a test registers."""
    entities()
    monkeypatch.setattr(module, "_registered", dict(module._registered))


def test_a_new_file_adds_an_entity_at_its_position_in_the_kernels_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(entities())
    (tmp_path / "new.py").write_text(FILE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    after = list(entities.__wrapped__())
    monkeypatch.delitem(sys.modules, f"{package.__name__}.new")
    first_memory = before.index("EDC0")
    assert after == [*before[:first_memory], "NEW", *before[first_memory:], "NEW_MEMORY"]


def test_entities_are_collected_by_stage_and_then_by_number() -> None:
    order = [(each.stage, each.number) for each in entities().values()]
    assert order == sorted(order)
    assert [name for name, each in entities().items() if each.stage == Stage.DRIVER] == [
        "MBOX_LOG",
        "QDESC",
    ]


@pytest.mark.parametrize(("number", "name"), [(46, "OTHER"), (71, "CLK")])
def test_two_entities_cannot_share_a_number_or_a_name(number: int, name: str) -> None:
    with pytest.raises(ValueError, match="46 CLK exists"):
        entity(number, name)(Entity)
