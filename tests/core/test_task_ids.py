"""Names of tasks, and of the streams that hold their events."""

import uuid

import pytest

from relay.core.task_ids import claim_of, mint_task_id, read_task_id, task_id_from

LOWEST, HIGHEST = str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1))


def test_a_minted_name_is_a_uuid_of_version_4_and_another_one_each_time() -> None:
    names = {mint_task_id() for _ in range(100)}
    assert len(names) == 100
    assert {uuid.UUID(name).version for name in names} == {4}
    assert all(read_task_id(name) == name for name in names)


def test_a_task_claims_one_stream_and_another_task_another() -> None:
    assert claim_of(LOWEST) == claim_of(LOWEST) != claim_of(HIGHEST)


def test_capitals_name_the_same_task() -> None:
    assert read_task_id("0B7A0270-F94C-4EB8-AAB4-527ACE6F7802") == "0b7a0270-f94c-4eb8-aab4-527ace6f7802"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "task-1",
        "0b7a0270f94c4eb8aab4527ace6f7802",
        "{0b7a0270-f94c-4eb8-aab4-527ace6f7802}",
        "0b7a0270-f94c-4eb8-aab4-527ace6f780g",
        "0b7a0270-f94c-4eb8-aab4-527ace6f7802\n",
        "urn:uuid:0b7a0270-f94c-4eb8-aab4-527ace6f7802",
    ],
)
def test_anything_else_names_no_task(text: str) -> None:
    assert read_task_id(text) is None


def test_the_same_bytes_name_the_same_task_and_others_another() -> None:
    assert task_id_from(b"a" * 32) == task_id_from(b"a" * 32) != task_id_from(b"b" * 32)
    assert uuid.UUID(task_id_from(b"a" * 32)).version == 4
