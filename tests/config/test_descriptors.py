"""Whether the process may open as many descriptors as its connections need: the limits are set in a process of their
own, because what was lowered stays low.
"""

import json
import subprocess
import sys

import pytest

from config.descriptors import BESIDE_CONNECTIONS, PER_CONNECTION

CONNECTIONS = 300
NEEDED = CONNECTIONS * PER_CONNECTION + BESIDE_CONNECTIONS
PROBE = """
import json, resource, sys
from config.descriptors import claim_descriptors
from config.schema import Server
from config.settings import ConfigError, Settings

soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
problems = []
try:
    claim_descriptors(Settings(server=Server(connections_per_worker=connections)))
except ConfigError as error:
    problems = error.problems
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE), problems]))
"""


def claimed(soft: int, hard: int, connections: int = CONNECTIONS) -> tuple[tuple[int, int], list[str]]:
    """The limits after the claim, and why it was refused."""
    command = [sys.executable, "-c", PROBE, str(soft), str(hard), str(connections)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    limits, problems = json.loads(said)
    return tuple(limits), problems


def test_each_connection_needs_two() -> None:
    assert (PER_CONNECTION, NEEDED) == (2, 728)


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (NEEDED, NEEDED, (NEEDED, NEEDED)),
        (NEEDED - 1, NEEDED, (NEEDED, NEEDED)),
        (100, 5_000, (NEEDED, 5_000)),
        (4_000, 5_000, (4_000, 5_000)),
    ],
    ids=["just enough", "one short", "raised as far as needed", "more than enough"],
)
def test_a_process_raises_its_limit_as_far_as_it_needs(soft: int, hard: int, after: tuple[int, int]) -> None:
    assert claimed(soft, hard) == (after, [])


def test_where_it_may_not_have_enough_it_says_what_would_be() -> None:
    limits, [problem] = claimed(256, NEEDED - 1)
    assert limits == (256, NEEDED - 1)
    assert problem.startswith(f"[server] connections_per_worker = {CONNECTIONS} needs {NEEDED} open files")
    assert f"may have {NEEDED - 1}: lower it to {CONNECTIONS - 1}, or raise ulimit -n" in problem


def test_what_it_says_would_be_enough_is() -> None:
    _, [problem] = claimed(1_000, 1_000, connections=10_000)
    fitting = int(problem.partition("lower it to ")[2].partition(",")[0])
    assert claimed(1_000, 1_000, fitting)[1] == []
    assert claimed(1_000, 1_000, fitting + 1)[1] != []


def test_a_limit_that_is_too_low_for_anything_is_told_without_a_negative_number() -> None:
    assert "lower it to 0," in claimed(100, 100)[1][0]
