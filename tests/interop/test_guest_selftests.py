"""The kernel's own selftests of network drivers, over the wire between the ports of a card.

tests/support/selftests_table.py is the list, docs/reference/selftests.md shows it. All run on the
T6, the short ones on the T5 as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import selftests
from selftest_bench import Bench
from selftests_table import KERNEL, TABLE, Selftest
from stock import Stock

RUNS = [("a", test) for test in TABLE] + [("b", test) for test in TABLE if not test.long]
pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long",
    ),
]


@pytest.fixture(scope="module")
def bench(stock: Stock, progress) -> Iterator[Bench]:
    """The shared guest, its wires joined, the selftests unpacked; frames flow in the end."""
    stock.join()
    bench = Bench.unpacked(stock, selftests.archive(progress))
    yield bench
    bench.remove()
    stock.ping()


@pytest.mark.parametrize(("card", "test"), RUNS, ids=[f"{c}-{t.name}" for c, t in RUNS])
def test_a_selftest_ends_as_its_rows_say(bench: Bench, card: str, test: Selftest) -> None:
    if bench.kernel != KERNEL and not test.everywhere:
        pytest.skip(f"its rows are those of Linux {'.'.join(map(str, KERNEL))}")
    output = bench.run(card, test.command, test.seconds)
    test.check(selftests.cases(test.name, output))
