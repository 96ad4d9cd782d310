"""Each entity's rate: accesses a second, as the kernel makes them."""

from __future__ import annotations

from pyvfio_user import SPIN
from vmcoredd.bench.dumps import dump
from vmcoredd.bench.machine import on_cpus, placements
from vmcoredd.bench.measure import Series
from vmcoredd.bench.serving import CardServer, serving


def rates(rounds: int) -> dict[str, dict[str, Series]]:
    """Accesses a second by placement and entity; entities that touch no register are left out."""
    found = {}
    for placement in placements():
        server = CardServer(spin=SPIN, cpus=placement.server)
        with serving(server) as path, on_cpus(placement.client):
            dump(path, spin=SPIN)
            reports = [dump(path, spin=SPIN).report for _ in range(rounds)]
        found[placement.name] = {
            same[0].name: Series(tuple(one.counts.total / one.seconds for one in same))
            for same in zip(*(report.entities for report in reports), strict=True)
            if same[0].counts.total
        }
    return found
