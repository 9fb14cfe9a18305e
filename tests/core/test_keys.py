"""What a key looks like, and what never passes for one."""

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.keys import BASE62, KeyPolicy, digest, is_well_formed, mint_key, mint_key_id, preview

# worked out apart from the code: crc32(b"0" * 32) = 0xA0F292D0 = 2700251856 = "2wjyrI" in base 62
KEY = "rk_" + "0" * 32 + "2wjyrI"
ANY_CHARACTER = st.integers(0, 0x10FFFF).map(chr)  # surrogates too, which hypothesis leaves out by itself


def test_a_new_key_has_the_shape_of_the_contract_and_is_well_formed() -> None:
    for _ in range(200):
        key = mint_key()
        assert re.fullmatch(r"rk_[0-9A-Za-z]{38}", key)
        assert is_well_formed(key)


def test_new_keys_differ_and_use_the_whole_alphabet() -> None:
    keys = {mint_key() for _ in range(500)}
    assert len(keys) == 500
    assert set("".join(key[3:35] for key in keys)) == set(BASE62)


def test_the_checksum_is_that_of_the_32_random_characters() -> None:
    assert is_well_formed(KEY)
    key = mint_key()
    number = 0
    for character in key[35:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(key[3:35].encode())


@given(st.integers(0, 40), st.sampled_from(BASE62 + "_- \n"))
def test_one_changed_character_is_noticed(place: int, character: str) -> None:
    changed = KEY[:place] + character + KEY[place + 1 :]
    assert is_well_formed(changed) is (changed == KEY)


@given(st.text(ANY_CHARACTER, max_size=60))
def test_no_text_passes_for_a_key_or_raises(text: str) -> None:
    assert is_well_formed(text) is False
    assert is_well_formed("rk_" + text) is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rk_",
        KEY + "\n",
        " " + KEY,
        KEY + KEY,
        KEY[:-1],
        KEY[:35] + KEY[35:].swapcase(),
        KEY.replace("rk_", "ek_"),
        KEY.replace("0", "٠"),  # a digit to str.isdigit(), not to us
        KEY.replace("w", "\uff57"),  # the same letter at full width
        KEY[:20] + "\x00" + KEY[21:],
        KEY[:20] + "\ud800" + KEY[21:],
        "' OR '1'='1",
        "rk_" + "*" * 38,
        KEY * 30_000,
    ],
)
def test_what_is_nearly_a_key_is_none(text: str) -> None:
    assert not is_well_formed(text)


def test_the_digest_is_the_sha256_of_the_whole_key() -> None:
    # printf rk_abc | sha256sum
    assert digest("rk_abc") == "d888437ae7defd1edf8501ce171480b52ddd4182bc83555b103bd3eab5ff8b4b"


def test_a_preview_shows_four_characters_at_each_end() -> None:
    assert preview(KEY) == ("rk_0000", "jyrI")


def test_a_key_id_is_no_key() -> None:
    ids = {mint_key_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"key_[0-9A-Za-z]{16}", name) for name in ids)


def test_a_policy_without_values_limits_nothing() -> None:
    policy = KeyPolicy()
    assert not any((policy.rpm, policy.concurrent, policy.tpm, policy.budget_usd, policy.max_output_tokens))
    assert not any((policy.models, policy.origins, policy.resume, policy.detach))
