"""A few seeds of each part, the corpus, and the fuzzer itself with planted defects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import pyvfio_user.device

from tests.fuzz import case
from tests.fuzz.case import PARTS, make
from tests.fuzz.parts import server
from tests.fuzz.runner import Failure, Run
from vmcoredd.vmcore.notes import NoteWalk

SEEDS = {
    "server": 8,
    "client": 8,
    "engine": 3,
    "devices": 1,
    "files": 6,
    "containers": 300,
    "traces": 30,
    "kills": 2,
    "control": 8,
}
"""Of each part: so many that all parts together take seconds."""


def told(failures: list[Failure]) -> str:
    return "\n\n".join(map(str, failures))


@pytest.mark.parametrize("part", PARTS)
def test_seeds_find_nothing(part: str) -> None:
    result = Run(part, count=SEEDS[part])()
    assert not result.failures, told(result.failures)
    assert result.cases == SEEDS[part]


@pytest.mark.parametrize("part", [part for part in PARTS if list(case.kept(part))])
def test_what_was_found_once_is_not_found_again(part: str) -> None:
    result = Run(part, names=("corpus",))()
    assert not result.failures, told(result.failures)
    assert result.cases == len(list(case.kept(part)))


@pytest.mark.parametrize("part", PARTS)
def test_a_case_is_a_function_of_its_seed(part: str) -> None:
    assert make(part, 7) == make(part, 7)
    assert make(part, 7) != make(part, 8)


def test_a_kept_case_is_replayed_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "CORPUS", tmp_path)
    case.keep(tmp_path, "files", "7", make("files", 7), "nothing")
    assert list(case.kept("files")) == [("seed-7", make("files", 7))]


@pytest.fixture
def runner(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[case.Part]:
    with case.start(request.param, tmp_path) as runner:
        yield runner


def first_found(runner: case.Part, part: str, seeds: Iterable[int]) -> str:
    """The defect that the first failing seed shows."""
    for seed in seeds:
        try:
            runner.run(make(part, seed))
        except Exception as error:  # noqa: BLE001 - whatever the planted defect raises
            return f"{type(error).__name__}: {error}"
    return "nothing"


@pytest.mark.parametrize("runner", ["files"], indirect=True)
def test_a_reader_that_trusts_a_size_is_found(
    runner: case.Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trusting(self: NoteWalk, what: str, need: int, have: int) -> None:
        raise IndexError(f"{what} is out of range")

    monkeypatch.setattr(NoteWalk, "_report", trusting)
    assert "is out of range" in first_found(runner, "files", range(100))


@pytest.mark.parametrize("runner", ["client"], indirect=True)
def test_a_client_that_trusts_a_count_is_found(
    runner: case.Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = pyvfio_user.device.parse_region

    def trusting(index: int, *reply: object) -> object:
        try:
            return parse(index, *reply)  # type: ignore[arg-type]
        except ValueError as error:
            raise IndexError("no such area") from error

    monkeypatch.setattr(pyvfio_user.device, "parse_region", trusting)
    assert first_found(runner, "client", about_regions()) == "IndexError: no such area"


def about_regions() -> Iterator[int]:
    """Seeds of cases that spoil a word of a reply about regions."""
    for seed in range(1000):
        made = make("client", seed)
        if "regions" in made["calls"] and any(step["how"] == "word" for step in made["plan"]):
            yield seed


def test_a_server_that_keeps_descriptors_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SERVER", "tests.fuzz.planted_server")
    with case.start("server", tmp_path) as runner:
        assert "descriptors open" in first_found(runner, "server", range(3))


def test_a_worker_that_dies_is_a_failure_of_its_case(tmp_path: Path) -> None:
    (tmp_path / "tests/fuzz").mkdir(parents=True)
    (tmp_path / "tests/fuzz/worker.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'event': 'start', 'name': sys.argv[2], 'case': {}}), flush=True)\n"
        "os.abort() if sys.argv[2] == '3' else None\n"
    )
    (failure,) = Run("files", first=3, count=1, root=tmp_path)().failures
    assert failure.name == "3"
    assert "the worker ended with -6" in failure.found
