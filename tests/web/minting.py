"""What the tests of client tokens share: a key that mints, a caller with a token, and what a refusal says."""

from typing import Any

from flask.testing import FlaskClient

from tests.house import House

SECRETS = "/v1/client_secrets"
PAGE = "https://app.example"


def minted(key: FlaskClient, **wish: Any) -> dict[str, Any]:
    answer = key.post(SECRETS, json=wish)
    assert answer.status_code == 200, answer.data
    fields: dict[str, Any] = answer.get_json()
    return fields


def bearer(house: House, key: FlaskClient, **wish: Any) -> FlaskClient:
    """A client that sends a new token of the key with everything."""
    return house.caller(minted(key, **wish)["value"])


def refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.get_json()["error"]
    return answer.status_code, error["code"], error["param"]
