"""No problem repeats a secret, also where the secret stands in the wrong place."""

import pytest


@pytest.mark.parametrize(
    "variable",
    [
        "RELAY_AUTH__TOKEN_SECRET=canary",
        "RELAY_AUTH__TOKEN_SECRT=canary",
        "RELAY_SERVER__METRICS_TOKEN=canary canary",
        "RELAY_STREAM__HEARTBEAT_SECONDS=canary@h",
        'RELAY_CORS__ORIGINS=["https://u:canary@h"]',
        "DATABASE_URL=canary://canary",
        "REDIS_URL=canary://:canary@h",
        "REDIS_URL=canary\udcff",
        "OPENAI_BASE_URL=https://u:canary@h",
        "OPENAI_BASE_URL=https://h?key=canary",
        "OPENAI_API_KEY=canary canary",
        "OPENAI_API_KEY_FILE=sk-canary",
    ],
)
def test_no_problem_repeats_a_secret(problems, variable):
    lines = problems(dict([variable.split("=", 1)]))
    assert lines and "canary" not in str(lines)


@pytest.mark.parametrize(
    "line", ["[auth]\ntoken_secret = 9876543", "[server]\nmetrics_token = 9876543", "[stores]\nredis_url = 9876543",
             "[stores]\ndatabase_url = 9876543", "[[upstreams]]\napi_key_env = 9876543"],
)  # fmt: skip
def test_no_problem_repeats_a_secret_of_the_wrong_type(written, problems, line):
    lines = problems(written(line))
    assert lines and "9876543" not in str(lines)
