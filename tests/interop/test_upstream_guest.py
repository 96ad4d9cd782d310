"""Defects of Linux's cxgb4 driver in a whole kernel of Debian's: docs/upstream/cxgb4.md.

The guest is this file's own: the last test panics it. `make test-long` runs it. Others are shown by
guests that run anyway: test_guest_adapters.py, test_guest_unload.py, test_guest_selftests.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from findings import stands
from stock import JOIN, SHARED, Stock, booted

from vmcoredd.qemu.errors import GuestDied

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(not THOROUGH, reason="boots a guest: VMCOREDD_THOROUGH=1, make test-long"),
]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upstream") / "console"


@pytest.fixture(scope="module")
def guest(console: Path, progress: Any) -> Iterator[Stock]:
    with booted(SHARED, console.parent, progress) as found:
        found.join()
        yield found


@pytest.fixture(scope="module")
def linux(guest: Stock) -> str:
    return f"Linux {guest.run('uname -r').strip()}"


def debugfs(guest: Stock, card: str) -> str:
    """Returns the driver's folder of a card."""
    device = guest.run(
        f"basename $(realpath /sys/class/net/{guest.interfaces[f'{card}.0']}/device)"
    )
    return f"/sys/kernel/debug/cxgb4/{device.strip()}"


@pytest.mark.parametrize("card", SHARED.cards)
def test_an_rss_table_is_not_the_one_that_ethtool_shows(
    guest: Stock, linux: str, card: str
) -> None:
    """Of 128 entries, the last 32 are for the second queue."""
    near = guest.interfaces[f"{card}.0"]
    guest.run(f"ethtool -X {near} weight 3 1")
    asked = entries(guest.run(f"ethtool -x {near}"))
    table = entries(guest.run(f"head -16 {debugfs(guest, card)}/rss"))
    first, second = table[0], table[100]
    assert asked == [0] * 96 + [1] * 32
    with stands("cxgb4-rss-table", linux):
        assert table == [first] * 94 + [second] * 31 + [first] * 3
    guest.run(f"ethtool -X {near} default")


def entries(text: str) -> list[int]:
    """Returns the queues of lines like `    8:      0     1 ...`: ethtool's and debugfs'."""
    lines = (line.split(":") for line in text.splitlines())
    return [
        int(queue)
        for line in lines
        if len(line) == 2 and line[0].strip().isdecimal()
        for queue in line[1].split()
    ]


@pytest.mark.parametrize("card", SHARED.cards)
def test_two_interrupts_have_a_format_for_a_name(guest: Stock, linux: str, card: str) -> None:
    device = guest.run(f"basename {debugfs(guest, card)}").strip()
    lines = guest.run(f"grep 'MSIX-{device} ' /proc/interrupts").splitlines()
    with stands("cxgb4-interrupt-names", linux):
        assert [line.split()[-1] for line in lines[:2]] == ["eth%d", "eth%d-FWeventq"]


def test_a_filters_queue_is_shown_by_the_cards_number(guest: Stock, linux: str) -> None:
    near = guest.interfaces["a.0"]
    guest.run(f"ethtool -N {near} flow-type udp4 dst-port 7 action 1 loc 0")
    said = guest.run(f"ethtool -n {near} rule 0")
    (shown,) = re.findall(r"Direct to queue (\d+)", said)
    with stands("cxgb4-filter-queue", linux):
        assert int(shown) > 1
    guest.run(f"ethtool -N {near} delete 0")


@pytest.mark.parametrize("card", SHARED.cards)
def test_an_uncorrectable_error_of_edc_is_not_told(guest: Stock, linux: str, card: str) -> None:
    before = guest.run("dmesg | wc -l")
    handled = handled_interrupts(guest, card)
    guest.cards[card].fail("ecc-uncorrectable-edc0")
    guest.ping()
    assert handled_interrupts(guest, card) > handled
    said = guest.run(f"dmesg | tail -n +{int(before) + 1}")
    with stands("cxgb4-edc-errors", linux):
        assert "EDC0" not in said
        assert "fatal" not in said


def handled_interrupts(guest: Stock, card: str) -> int:
    """Returns how often the driver was interrupted because of the card itself: the first vector."""
    device = f"/sys/class/net/{guest.interfaces[f'{card}.0']}/device"
    vector = f"$(ls {device}/msi_irqs | sort -n | head -n 1)"
    counts = guest.run(f'grep "^ *{vector}:" /proc/interrupts').split()[1:]
    return sum(int(word) for word in takewhile(str.isdecimal, counts))


def test_reading_a_file_of_debugfs_panics_the_kernel(
    guest: Stock, linux: str, console: Path
) -> None:
    """The card is the T5; the T6's file can be read."""
    assert "Free clip entries" in guest.run(f"cat {debugfs(guest, 'a')}/clip_tbl")
    with stands("cxgb4-clip-table", linux), pytest.raises(GuestDied, match="panicked"):
        guest.run(f"cat {debugfs(guest, 'b')}/clip_tbl", JOIN)
    said = console.read_text(errors="replace")
    assert re.findall(r"BUG: ([^\n]*), address: 0+8\b", said) == ["kernel NULL pointer dereference"]
    assert "clip_tbl_show+0x" in said
    assert "Fatal exception in interrupt" in said
