"""A pytest plugin of the tests that name it: one plain and one TLS pair, running for all of them."""

from collections.abc import Iterator

import pytest

from tests.live.bench.certificates import Certificates
from tests.live.pairs import Case, Pair, running_pair


@pytest.fixture(scope="session")
def plain_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("plain-pair")) as pair:
        yield pair


@pytest.fixture(scope="session")
def tls_pair(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("tls-pair"), certificates) as pair:
        yield pair


@pytest.fixture(params=["plain_pair", "tls_pair"], ids=["http", "https"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Over a plain and over a TLS upstream."""
    pair: Pair = request.getfixturevalue(request.param)
    with pair.case() as case:
        yield case


@pytest.fixture
def plain(plain_pair: Pair) -> Iterator[Case]:
    """Over a plain upstream only."""
    with plain_pair.case() as case:
        yield case


@pytest.fixture(params=[True, False], ids=["stream", "no stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
