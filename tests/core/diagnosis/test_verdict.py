"""What is told, in which order, and what is left open."""

from dataclasses import replace

from relay.core.diagnosis.verdict import unchecked, verdict
from tests.core.diagnosis.healthy import WELL, refused


def test_where_all_is_well_each_thing_is_said_once() -> None:
    findings = verdict(WELL)
    names = [finding.name for finding in findings]
    assert all(finding.ok and finding.measured for finding in findings)
    assert names[:2] == ["reached", "key"]
    assert len(names) == len(set(names)) == 15


def test_what_was_not_looked_at_is_told_with_what_it_takes() -> None:
    assert unchecked(WELL) == []
    limited = unchecked(replace(WELL, silent=refused(429, "too_many_streams")))
    assert limited == ["idle cuts: the relay refused (status 429 too_many_streams)"]
    assert [text.partition(":")[0] for text in unchecked(replace(WELL, plain=None))] == ["streams and headers"]
    assert [text.partition(":")[0] for text in unchecked(replace(WELL, origin="", silent=None))] == [
        "CORS",
        "idle cuts",
    ]
