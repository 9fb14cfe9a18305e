"""A pytest plugin of the tests that name it: an upstream whose answers are held until they are released."""

from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.upstream import ScriptedUpstream
from tests.live.task_callers import Answers


@pytest.fixture
def answers(upstream: ScriptedUpstream) -> Iterator[Callable[..., Answers]]:
    made: list[Answers] = []

    def answers(texts: list[str], hold_after: int | None = None) -> Answers:
        made.append(Answers(texts, hold_after))
        upstream.answer(made[-1].script())
        return made[-1]

    yield answers
    for one in made:
        one.released.set()
