"""Looks for secrets where none may be: in outputs, logs, answers, the process listing."""

import base64
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.live.bench import procfs

Place = str | bytes | Path


def search(places: Mapping[str, Place], secrets: Mapping[str, str]) -> list[str]:
    """A line for each secret found in a place, as it is or encoded; it names both and quotes neither."""
    return [
        f"{name} is in {where}{how}"
        for where, place in places.items()
        for name, secret in secrets.items()
        for how in _forms_found(_content(place), secret)
    ]


def assert_absent(places: Mapping[str, Place], secrets: Mapping[str, str]) -> None:
    found = search(places, secrets)
    assert not found, "\n".join(found)


def process_listing() -> str:
    return "\n".join(procfs.command_lines().values())


def _content(place: Place) -> bytes:
    if isinstance(place, Path):
        return place.read_bytes()
    return place.encode() if isinstance(place, str) else place


def _forms_found(content: bytes, secret: str) -> Iterator[str]:
    """An empty secret is a mistake of the test's: it would be found everywhere."""
    assert secret, "an empty secret cannot be searched for"
    if secret.encode() in content:
        yield ""
    if any(form in content for form in _base64_forms(secret.encode())):
        yield ", as base64"
    quoted = urllib.parse.quote(secret, safe="").encode()
    if quoted != secret.encode() and quoted in content:
        yield ", percent-encoded"


def _base64_forms(secret: bytes) -> list[bytes]:
    """What is left of the secret inside a longer text's base64, wherever in it the secret stands (three alignments)."""
    return [base64.b64encode(b"." * shift + secret)[4 if shift else 0 : -4] for shift in range(3)]
