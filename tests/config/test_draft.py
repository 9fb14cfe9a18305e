"""Field by field, rule by rule: nothing hides behind the first problem."""

import pytest

from config.checks import Rule
from config.draft import Draft
from config.schema import Demo, Models, Price
from config.sources import Given


def table(**values):
    return {name: Given(value, "relay.toml") for name, value in values.items()}


@pytest.fixture
def draft():
    return Draft()


def test_what_is_not_given_is_its_default(draft):
    assert Demo(**draft.convert(Demo, "[demo]", {})) == Demo()
    assert draft.problems == []


def test_what_is_given_replaces_its_default_alone(draft):
    assert Demo(**draft.convert(Demo, "[demo]", table(selftest_frames=7))) == Demo(selftest_frames=7)


def test_two_structs_do_not_share_a_default_table(draft):
    first = draft.convert(Models, "[models]", {})
    second = Draft().convert(Models, "[models]", {})
    assert first["prices"] == second["prices"] and first["prices"] is not second["prices"]


def test_every_bad_field_is_a_problem_of_its_own(draft):
    draft.convert(Demo, "[demo]", table(page="yes", selftest_frames=0, selftest_interval_ms=20))
    assert draft.problems == [
        '[demo] page: must be true or false, got "yes" (from relay.toml)',
        "[demo] selftest_frames: must be a whole number from 1 to 200, got 0 (from relay.toml)",
    ]


def test_what_did_not_convert_is_left_out(draft):
    converted = draft.convert(Demo, "[demo]", table(page="yes"))
    assert converted.keys() == {"title", "selftest_frames", "selftest_interval_ms"}


def test_an_unknown_name_is_a_problem_and_its_neighbour_is_proposed(draft):
    draft.convert(Demo, "[demo]", table(selftest_frame=7))
    assert draft.problems == ["[demo] selftest_frame: unknown setting, did you mean selftest_frames? (from relay.toml)"]


def test_a_name_like_no_other_gets_no_proposal(draft):
    draft.convert(Demo, "[demo]", table(zzz=7))
    assert draft.problems == ["[demo] zzz: unknown setting (from relay.toml)"]


def prices(draft, entries):
    return draft.convert(Models, "[models]", table(prices=entries))["prices"]


def test_prices_are_given_by_model_and_replace_the_default_ones(draft):
    assert prices(draft, {"a@1": {"input": 1, "output": 2.5}, "b@1": {"input": 0, "output": 0}}) == {
        "a@1": Price(input=1.0, output=2.5),
        "b@1": Price(input=0.0, output=0.0),
    }


def test_every_bad_price_is_a_problem_of_its_own(draft):
    prices(draft, {"a": {"input": 1}, "b": 3, "c": {"input": -1, "output": True, "cached": 1}})
    assert draft.problems == [
        '[models.prices] "a" output: must be given',
        '[models.prices] "b": must be a table like { input = 2.0, output = 8.0 } (from relay.toml)',
        '[models.prices] "c" cached: unknown setting (from relay.toml)',
        '[models.prices] "c" input: must be a number from 0 to 1000000000, got -1 (from relay.toml)',
        '[models.prices] "c" output: must be a number from 0 to 1000000000, got true (from relay.toml)',
    ]


def test_one_models_price_never_completes_another_ones(draft):
    prices(draft, {"a@1": {"input": 1, "output": 2}, "b@1": {"input": 1}})
    assert draft.problems == ['[models.prices] "b@1" output: must be given']


def test_prices_that_are_no_table_are_refused(draft):
    draft.convert(Models, "[models]", table(prices=[1]))
    assert draft.problems == ["[models] prices: must be a table of model names, got a list (from relay.toml)"]


FRAMES_BELOW_MS = Rule(
    ("[demo] selftest_frames", "[demo] selftest_interval_ms"),
    lambda frames, ms: ["too many frames"] if frames >= ms else [],
)


def test_a_rule_gets_given_and_default_values(draft):
    draft.convert(Demo, "[demo]", table(selftest_frames=150))
    draft.check([FRAMES_BELOW_MS])
    assert draft.problems == ["[demo] selftest_frames: too many frames (from relay.toml)"]


def test_a_rule_that_holds_is_silent(draft):
    draft.convert(Demo, "[demo]", {})
    draft.check([FRAMES_BELOW_MS])
    assert draft.problems == []


def test_a_rule_does_not_run_on_a_value_that_is_bad_already(draft):
    draft.convert(Demo, "[demo]", table(selftest_frames=150, selftest_interval_ms="x"))
    draft.check([FRAMES_BELOW_MS])
    assert len(draft.problems) == 1 and "selftest_interval_ms" in draft.problems[0]


def test_a_problem_names_every_place_its_values_came_from(draft):
    given = {"selftest_frames": Given(50, "PLACE_A"), "selftest_interval_ms": Given(20, "PLACE_B")}
    draft.convert(Demo, "[demo]", given)
    draft.check([FRAMES_BELOW_MS])
    assert draft.problems[0].endswith("(from PLACE_A and PLACE_B)")


def test_a_place_that_gave_both_values_is_named_once(draft):
    draft.convert(Demo, "[demo]", table(selftest_frames=50, selftest_interval_ms=20))
    draft.check([FRAMES_BELOW_MS])
    assert draft.problems[0].endswith("(from relay.toml)")


def test_a_rule_can_be_applied_to_one_of_several_tables(draft):
    draft.convert(Demo, "#1", {})
    draft.convert(Demo, "#2", {})
    draft.check([Rule(("selftest_frames",), lambda frames: [f"is {frames}"])], prefix="#2 ")
    assert draft.problems == ["#2 selftest_frames: is 20"]
