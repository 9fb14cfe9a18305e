"""Where the workers listen for the operator."""

import pytest

from config.control import control_directory
from config.schema import Settings, Stores
from config.sources import ROOT


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///var/relay.db", ROOT / "var/relay.db.control"),
        ("sqlite:////srv/r.db?timeout=5", "/srv/r.db.control"),
        ("postgresql://u:secret@db/relay", ROOT / "var/relay.control"),
    ],
)
def test_it_is_beside_the_database_and_holds_no_password(url: str, expected: object) -> None:
    directory = control_directory(Settings(stores=Stores(database_url=url)))
    assert str(directory) == str(expected)
