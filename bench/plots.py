"""Plots, as SVG files. They need matplotlib, from the optional group `bench`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmcoredd import debs
from vmcoredd.bench.measure import Results, Series

Curves = Mapping[str, Mapping[Any, Series]]


def check() -> None:
    """Raises `debs.ModuleMissing` if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise debs.ModuleMissing("matplotlib", "plots (--output)") from error


def draw(results: Results, folder: Path) -> list[Path]:
    """Draws all curves into `folder` and returns the files. Raises as `check`."""
    check()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "depth": (_depth, "Reads of 4 bytes by number in flight"),
        "windows": (_windows, "Reading adapter memory through a window"),
        "entities": (_entities, "Rate of each entity over the socket"),
        "frames": (_frames, "Packet engine, ring to ring: frames by their size"),
        "queues": (_queues, "Packet engine, ring to ring: frames by queues"),
        "traffic": (_traffic, "Traffic between two ports in a guest: times QEMU's igb"),
        "dump": (_ratios, "A complete dump: times faster than one access at a time"),
    }
    files = []
    for name, curves in results.curves.items():
        kind, title = kinds[name]
        files.append(_save(kind, title, curves, folder / f"{name}.svg"))
    return files


def _save(kind: Any, title: str, curves: Curves, path: Path) -> Path:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vmcoredd"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(layout="constrained")
    kind(figure, axes, curves)
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _depth(_figure: Any, axes: Any, curves: Curves) -> None:
    _lines(axes, curves, "in flight", "accesses per second")


def _frames(_figure: Any, axes: Any, curves: Curves) -> None:
    _lines(axes, curves, "bytes of a frame; of a packet to segment", "frames per second")


def _queues(_figure: Any, axes: Any, curves: Curves) -> None:
    _lines(axes, curves, "queues", "frames per second")


def _lines(axes: Any, curves: Curves, across: str, up: str) -> None:
    for name, curve in curves.items():
        axes.plot(list(curve), [series.median for series in curve.values()], "o-", label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _windows(figure: Any, axes: Any, curves: Curves) -> None:
    _bars(figure, axes, curves, "MiB per second", 0.35)


def _entities(figure: Any, axes: Any, curves: Curves) -> None:
    _bars(figure, axes, curves, "accesses per second", 0.18)


def _ratios(figure: Any, axes: Any, curves: Curves) -> None:
    _bars(figure, axes, curves, "times", 0.35)
    axes.set_xlim(left=1)


def _traffic(figure: Any, axes: Any, curves: Curves) -> None:
    _bars(figure, axes, curves, "times", 0.5)
    axes.axvline(1, color="black", linewidth=0.8)


def _bars(figure: Any, axes: Any, curves: Curves, what: str, inches: float) -> None:
    """Draws horizontal bars, grouped by name, with the spread."""
    names = list(dict.fromkeys(name for curve in curves.values() for name in curve))
    figure.set_size_inches(8, 1.5 + inches * len(names) * max(1, len(curves)) * 0.6)
    height = 0.8 / len(curves)
    for index, (label, curve) in enumerate(curves.items()):
        series = [curve[name] for name in names if name in curve]
        at = [i + index * height for i, name in enumerate(names) if name in curve]
        spread = [
            [one.median - one.low for one in series],
            [one.high - one.median for one in series],
        ]
        axes.barh(at, [one.median for one in series], height, xerr=spread, label=label)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(names))], names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(what)
