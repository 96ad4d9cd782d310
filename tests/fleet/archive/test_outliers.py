"""A card is an outlier if a register differs that the others of its type have equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from archives import added, payload, vmcore

from vmcoredd.chip import T5, T6
from vmcoredd.fleet.archive import Archive, Outliers, outliers

CARDS = 10
FAULTY = {100: "ecc-uncorrectable-edc0", 101: "firmware-error"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy T6 and a faulty one of each kind, and too few T5."""
    top = tmp_path_factory.mktemp("outliers")
    for seed in range(CARDS):
        vmcore(top / str(seed), payload(T6, seed=seed))
    for seed, fault in FAULTY.items():
        vmcore(top / str(seed), payload(T6, fault, seed=seed))
    vmcore(top / "t5", payload(T5))
    added(top / "fleet", top)
    return top / "fleet"


def found(fleet: Path, *registers: str) -> Outliers:
    with Archive(fleet) as archive:
        return outliers(archive, registers, least=CARDS)


def test_exactly_the_faulty_cards_are_outliers(fleet: Path) -> None:
    assert len({one.dump for one in found(fleet).found}) == len(FAULTY)
    names = {one.register for one in found(fleet).found}
    assert {"EDC_H_INT_CAUSE", "PCIE_FW"} <= names
    assert {one.share for one in found(fleet).found} == {1.0}


def test_a_type_of_few_cards_is_not_compared(fleet: Path) -> None:
    assert [(one.card, one.cards) for one in found(fleet).too_few] == [("T520-CR", 1)]
    assert [one.card for one in found(fleet).types] == ["T62100-CR"]


def test_one_register_can_be_asked_for(fleet: Path) -> None:
    (one,) = found(fleet, "PCIE_FW").found
    assert (one.register, one.mode ^ one.value) == ("PCIE_FW", 1 << 31)


def test_of_several_dumps_of_a_card_the_newest_counts(fleet: Path, tmp_path: Path) -> None:
    top = tmp_path / "newer"
    top.mkdir()
    for seed in range(CARDS):
        vmcore(top / str(seed), payload(T6, seed=seed), info=b"CRASHTIME=1700000000\n")
    for seed, fault in FAULTY.items():
        vmcore(top / str(seed), payload(T6, fault, seed=seed), info=b"CRASHTIME=1600000000\n")
        newer = b"CRASHTIME=1700000000\n"
        vmcore(top / f"{seed}-repaired", payload(T6, seed=seed), info=newer)
    added(tmp_path / "fleet", top)
    assert found(tmp_path / "fleet").found == ()
    assert found(tmp_path / "fleet").types[0].cards == CARDS + len(FAULTY)
