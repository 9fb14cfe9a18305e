"""A TOML file for one test, and the problems that a configuration is refused with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import ConfigError, load

Environ = dict[str, str]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Environ]:
    """Text of a TOML file -> an environment that names it, with more variables if wanted."""

    def write(text: str, **variables: str) -> Environ:
        path = tmp_path / "relay.toml"
        path.write_text(text, encoding="utf-8")
        return {"RELAY_CONFIG": str(path), **variables}

    return write


@pytest.fixture
def problems() -> Callable[[Environ], list[str]]:
    """An environment -> the problems it is refused with; fails if it is accepted."""

    def refused(environ: Environ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(environ)
        return caught.value.problems

    return refused


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[str], str]:
    """Content -> the path of a file that holds exactly it."""

    def write(content: str) -> str:
        path = tmp_path / "secret"
        path.write_bytes(content.encode())
        return str(path)

    return write
