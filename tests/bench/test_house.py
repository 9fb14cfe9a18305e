"""The rules of the house hold for the bench, which measures from outside: nothing of ours is imported."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import LINES_MAX, Rule, Source

ROOT = Path(__file__).parents[2]
OURS = {"relay", "config", "app", "tests"}


def sources() -> list[Source]:
    return [Source(str(path.relative_to(ROOT)), path.read_text()) for path in sorted((ROOT / "bench").glob("*.py"))]


@pytest.mark.parametrize(
    "rule", [architecture.size, architecture.name, architecture.docstring, architecture.globals_],
    ids=lambda rule: rule.__name__,
)  # fmt: skip
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    assert [problem for source in sources() for problem in rule(source)] == []


def test_nothing_of_ours_is_imported() -> None:
    assert list(imports_of_ours(sources())) == []
    assert list(imports_of_ours([Source("bench/a.py", "from relay.core import sse")]))


def test_only_the_naive_peer_reads_the_environment() -> None:
    problems = [problem for source in sources() for problem in architecture.environment(source)]
    assert [problem.split(":")[0] for problem in problems] == ["bench/naive.py"]


def test_files_in_c_are_no_longer_than_others() -> None:
    lengths = {path.name: path.read_text().count("\n") for path in (ROOT / "bench").glob("*.[ch]")}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def imports_of_ours(found: list[Source]) -> Iterator[str]:
    for source in found:
        for line, name in source.imports():
            if name.split(".")[0] in OURS:
                yield source.problem(line, f"imports {name}", "the bench measures from outside")
