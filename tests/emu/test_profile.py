"""Profiles: their fields and limits, and the messages about wrong ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vmcoredd.chip import T5, T6
from vmcoredd.emu import Card, ProfileError, profiles
from vmcoredd.emu.errors import NotUndone
from vmcoredd.emu.profile import SECTIONS, load

GOOD = """[card]
title = "Mine"
device_id = 0x6401

[vpd]
id = "T6225-CR"
part = "110-1210-30"

[memory]
edc0 = 1
edc1 = 1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ProfileError) as caught:
        load(write(folder, text))
    return str(caught.value).replace(str(folder) + "/", "")


def test_all_bundled_profiles_are_valid() -> None:
    assert {"t520-cr", "t580-cr", "t6225-cr", "t62100-cr"} <= set(profiles())
    assert {load(name).chip for name in profiles()} == {T5, T6}


def test_a_profile_can_be_a_file(tmp_path: Path) -> None:
    profile = load(write(tmp_path, GOOD))
    assert (profile.name, profile.card.title, profile.chip) == ("mine", "Mine", T6)
    assert (profile.memory.edc0, profile.memory.mc0) == (1, 8)


def test_a_card_can_be_loaded_from_a_file(tmp_path: Path) -> None:
    assert Card.load(write(tmp_path, GOOD)).memories["edc1"].size == 1 << 20


def test_a_card_has_the_faults_of_its_file_which_can_be_undone(tmp_path: Path) -> None:
    faults = ["firmware-retval=EIO", "flash-slow", "firmware-dead@command:VI:2"]
    card = Card.load(write(tmp_path, f"faults = {faults}\n" + GOOD), faults=["vpd-slow"])
    assert [*card.faults] == ["firmware-retval=EIO", "flash-slow", "vpd-slow"]
    assert card.triggers.armed == ["firmware-dead@command:VI:2"]
    with pytest.raises(NotUndone, match="vpd-slow was not switched on to be undone"):
        card.undo("vpd-slow")
    del card.faults["vpd-slow"]
    card.undo("flash-slow")


@pytest.mark.parametrize(
    ("faults", "what"),
    [
        ('"le-bussy"', r"no fault le-bussy; did you mean le-busy\?"),
        ('"firmware-retval"', "firmware-retval: its argument is missing; type"),
        ('"le-busy@read:PL"', "le-busy@read:PL: t6 has no PL"),
        ('"link-down-port3"', "no such fault on a mine: it has no Ethernet port 3"),
    ],
)
def test_a_wrong_fault_is_reported_with_file_and_line(
    tmp_path: Path, faults: str, what: str
) -> None:
    path = write(tmp_path, f"# mine\nfaults = [{faults}]\n" + GOOD)
    with pytest.raises(ProfileError, match=f"mine.toml:2: faults: {what}"):
        Card.load(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("faults = 5\n" + GOOD, "mine.toml:1: faults: must be a list of names"),
        ("faults = ['a', 5]\n" + GOOD, "mine.toml:1: faults: must be a list of names"),
        ("faults = ['a', 'a']\n" + GOOD, "mine.toml:1: faults: has a name twice"),
        (GOOD + "faults = []\n", "mine.toml:12: memory.faults: faults stand before the first"),
        (GOOD + "[faults]\na = 1\n", "mine.toml:12: faults: must be a list of names"),
    ],
)
def test_faults_are_a_list_before_the_sections(tmp_path: Path, text: str, what: str) -> None:
    assert complaint(tmp_path, text).startswith(what)


def test_overrides_replace_values() -> None:
    assert Card.load("t62100-cr", memory={"mc0": 24}).memories["mc0"].size == 24 << 20
    with pytest.raises(ProfileError, match=r"memory\.mc0: must be"):
        Card.load("t62100-cr", memory={"mc0": -1})


def test_an_unknown_card_is_refused_with_a_list_of_cards() -> None:
    with pytest.raises(ProfileError, match=r"t9-cr: no such card; there are .*t62100-cr"):
        load("t9-cr")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="No such file"):
        load(tmp_path / "none.toml")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load(path)


def test_an_error_in_the_toml_names_file_and_line(tmp_path: Path) -> None:
    assert complaint(tmp_path, "[card]\ntitle = \n").startswith("mine.toml:2: ")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("0x6401", "0x4401", "mine.toml:3: card.device_id: must be 0x5000 to 0x6fff"),
        ("0x6401", '"6401"', "mine.toml:3: card.device_id: must be a whole number"),
        ("0x6401", "true", "mine.toml:3: card.device_id: must be a whole number"),
        ('"Mine"', "7", "mine.toml:2: card.title: must be a string"),
        ('"110-1210-30"', '"110-1210-30-40-50-60"', "mine.toml:7: vpd.part: must be at most 16"),
        ("edc1 = 1", "edc1 = 2", "mine.toml:11: memory.edc1: the driver needs EDC0 and EDC1"),
        ("edc1 = 1", "edc1 = 1\nmc1 = 1", "mine.toml:12: memory.mc1: a T6 has none"),
        ("edc1 = 1", "edc1 = 1\nhma = 4", "mine.toml:12: memory.hma: host memory takes the place"),
        ("edc1 = 1", "edc1 = 1\nmc9 = 4", "mine.toml:12: memory.mc9: unknown field; there are"),
        ('part = "110-1210-30"', "", "mine.toml:5: vpd.part: missing"),
        ("[memory]", "[memories]", "mine.toml:9: memories: unknown section; there are card"),
        (
            "[memory]",
            "[ports]\ncount = 3\n[memory]",
            "mine.toml:10: ports.count: a T6 has at most 2",
        ),
        ("[memory]", "[ports]\nspeed = 33\n[memory]", "mine.toml:10: ports.speed: not an Ethernet"),
        (
            "[memory]",
            '[ports]\ntype = "X"\n[memory]',
            "mine.toml:10: ports.type: must be at most 12",
        ),
        (
            "[memory]",
            "[tables]\nhash_filters = 1\n[memory]",
            "tables.hash_filters: must be true or",
        ),
        (
            "[memory]",
            "[tables]\nhash_tids = 3000\n[memory]",
            "tables.hash_tids: must be a power of",
        ),
        (
            "[memory]",
            "[firmware]\ndevlog_kib = 33\n[memory]",
            "devlog_kib: must be a multiple of 32",
        ),
        ("[memory]", '[firmware]\nversion = "1.2"\n[memory]', "firmware.version: must be at most"),
        *(
            ("[memory]", f"[tables]\nfilter_mode = {mode}\n[memory]", f"tables.filter_mode: {what}")
            for mode, what in (
                ('["port", "ports"]', "unknown name 'ports'; there are fcoe, port, vnic_id"),
                ('["port", "port"]', "has a name twice"),
                ('["port", 3]', "must be a list of names"),
                ("7", "must be a list of names"),
                (
                    '["port", "vlan", "ethertype", "fcoe"]',
                    "these fields have 37 bits; there is room for 36",
                ),
            )
        ),
    ],
)
def test_a_wrong_value_is_reported_with_file_line_and_field(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    assert where in complaint(tmp_path, GOOD.replace(old, new))


def test_a_profile_may_choose_what_filters_can_match(tmp_path: Path) -> None:
    text = GOOD + '[tables]\nfilter_mode = ["ethertype", "port", "vlan"]\n'
    assert load(write(tmp_path, text)).filter_mode == 0x4A
    assert load(write(tmp_path, GOOD)).filter_mode == 0


def test_a_section_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    text = "memory = 3\n" + GOOD[: GOOD.index("[memory]")]
    assert "mine.toml:1: memory: must be a table" in complaint(tmp_path, text)


def test_every_field_has_limits() -> None:
    for kind in SECTIONS.values():
        for item in dataclasses.fields(kind):
            assert item.metadata or item.type == "bool", item.name
