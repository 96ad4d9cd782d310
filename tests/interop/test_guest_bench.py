"""`bench --part traffic` in its guest, one short round; and our own driver of `--part guest`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from vmcoredd.bench import guest, guest_traffic
from vmcoredd.bench.guest_traffic import FIGURES, LOST
from vmcoredd.bench.paired_ports import CARDS, MODELS, booted
from vmcoredd.qemu.prepare import Prepared

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long",
    ),
]


def test_each_load_runs_over_each_pair_of_ports_and_cards_lose_no_echo(
    progress: Callable[[str, float | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_traffic, "STREAM_SECONDS", 1)
    monkeypatch.setattr(guest_traffic, "DATAGRAM_SECONDS", 1)
    with booted(lambda what: progress(what, None)) as pairs:
        found = {pair.name: guest_traffic.loaded(pair) for pair in pairs}
    assert [*found] == [*CARDS, *MODELS]
    assert all(measured[figure] > 0 for measured in found.values() for figure in FIGURES)
    assert {name: found[name][LOST] for name in CARDS} == dict.fromkeys(CARDS, 0)
    assert all(found[name][guest_traffic.CARD] > 0 for name in CARDS)
    assert all(found[name][guest_traffic.CARD] == 0 for name in MODELS)


def test_our_own_driver_dumps_in_a_guest(prepared: Prepared) -> None:
    seconds, whole = guest.collect_ourselves(prepared, lambda what: None)
    assert 0 < seconds < whole
