"""A process that can open no more connections says so, and does not blame the upstream."""

import errno
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.bench.upstream import ScriptedUpstream
from tests.upstream.conftest import Ask, refusal, target_of


@pytest.fixture
def no_descriptors() -> Iterator[None]:
    """None is left to this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_without_descriptors_is_overloaded(
    upstream: ScriptedUpstream, upstreams_of: Any, no_descriptors: None
) -> None:
    target = target_of(upstream)
    assert refusal(upstreams_of(target), target) == ("overloaded", 503, None)
    assert upstream.accepted == 0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_so_is_one_on_a_machine_without_and_nobody_asks_again(
    upstream: ScriptedUpstream, upstreams_of: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asked = []

    def no_socket(*arguments: object, **named: object) -> None:
        asked.append(arguments)
        raise OSError(number, os.strerror(number))

    target = target_of(upstream)
    upstreams = upstreams_of(target)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", no_socket)
        assert refusal(upstreams, target) == ("overloaded", 503, None)
    assert len(asked) == 1
    with upstreams.open([target], Ask()) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.ENOBUFS])
def test_any_other_failure_is_the_upstreams(
    upstream: ScriptedUpstream, upstreams_of: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_socket(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    target = target_of(upstream)
    upstreams = upstreams_of(target)
    monkeypatch.setattr(socket, "socket", no_socket)
    assert refusal(upstreams, target)[0] == "upstream_unreachable"
    monkeypatch.undo()
