"""The token secret: configured, or made once, whoever comes first, and readable by nobody else."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from relay.stores.database import StoreError
from relay.stores.engines import ROOT
from relay.stores.secret import open_secret, secret_path

PROCESSES = 4
THREADS, ROUNDS = 8, 20
IN_A_PROCESS = "import sys; from relay.stores.secret import open_secret; print(open_secret('', sys.argv[1]).decode())"


def url_in(directory: Path) -> str:
    return f"sqlite:///{directory}/data/relay.db"


def test_a_configured_secret_is_the_secret_and_nothing_is_kept(tmp_path: Path) -> None:
    assert open_secret("s" * 31 + "ä", url_in(tmp_path)) == ("s" * 31 + "ä").encode()
    assert not list(tmp_path.iterdir())


def test_the_secret_that_was_made_once_is_kept_beside_the_database(tmp_path: Path) -> None:
    made = open_secret("", url_in(tmp_path))
    assert len(made) == 64
    assert open_secret("", url_in(tmp_path)) == made
    assert (tmp_path / "data/relay.db.secret").read_bytes() == made + b"\n"


def test_two_databases_have_two_secrets(tmp_path: Path) -> None:
    assert open_secret("", url_in(tmp_path / "a")) != open_secret("", url_in(tmp_path / "b"))


def test_nobody_else_can_read_the_kept_secret(tmp_path: Path) -> None:
    open_secret("", url_in(tmp_path))
    path = tmp_path / "data/relay.db.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_A_PROCESS, url_in(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    told = {process.communicate(timeout=60)[0] for process in started}
    assert len(told) == 1
    assert told == {open_secret("", url_in(tmp_path)).decode() + "\n"}


def test_whoever_comes_at_the_same_moment_gets_the_same_secret(tmp_path: Path) -> None:
    together = Barrier(THREADS)

    def at_once(url: str) -> bytes:
        together.wait(10)
        return open_secret("", url)

    with ThreadPoolExecutor(THREADS) as threads:
        for number in range(ROUNDS):
            assert len(set(threads.map(at_once, [url_in(tmp_path / str(number))] * THREADS))) == 1


def test_a_file_that_a_dying_process_left_empty_is_filled(tmp_path: Path) -> None:
    path = secret_path(url_in(tmp_path))
    path.parent.mkdir()
    path.touch(0o600)
    assert len(open_secret("", url_in(tmp_path))) == 64


def test_a_secret_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = secret_path(url_in(tmp_path))
    path.parent.mkdir()
    path.write_bytes(b"0" * 31 + b"\n")
    with pytest.raises(StoreError, match="not whole"):
        open_secret("", url_in(tmp_path))


def test_a_place_that_cannot_be_written_is_told_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StoreError, match="cannot keep the token secret .*data/relay.db.secret"):
        open_secret("", url_in(tmp_path))


def test_with_postgresql_the_secret_is_kept_in_var() -> None:
    assert secret_path("postgresql://relay:hunter2@db/relay") == ROOT / "var/relay.secret"


def test_a_relative_path_is_relative_to_the_checkout_as_the_database_is() -> None:
    assert secret_path("sqlite:///var/relay.db") == ROOT / "var/relay.db.secret"


def test_what_is_no_url_is_told_without_its_password() -> None:
    with pytest.raises(StoreError) as refusal:
        secret_path("postgresql://relay:hunter2@db:port")
    assert "hunter2" not in str(refusal.value)
