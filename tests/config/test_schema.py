"""Settings cannot be changed, and their printed form hides what is secret."""

import io

import msgspec
import pytest
from rich.console import Console

from config.schema import Auth, Models, Server, Settings, Stores, Upstream

SECRET = "canary" * 6
WITH_SECRETS = Settings(
    server=Server(metrics_token=SECRET),
    auth=Auth(token_secret=SECRET),
    stores=Stores(database_url=f"postgresql://u:{SECRET}@h/d", redis_url=f"redis://:{SECRET}@h"),
    upstreams=(Upstream(api_key=SECRET),),
)


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda s: f"{[s]!r}"])
def test_no_printed_form_shows_a_secret(show):
    assert "canary" not in show(WITH_SECRETS)


def test_rich_shows_no_secret():
    console = Console(file=io.StringIO(), width=200)
    console.print(WITH_SECRETS)
    assert "canary" not in console.file.getvalue() and "redis_url" in console.file.getvalue()


def test_what_is_set_and_what_is_not_can_be_told_apart():
    assert "token_secret='***'" in repr(WITH_SECRETS) and "token_secret=''" in repr(Settings())


@pytest.mark.parametrize(
    "url",
    [
        "redis://:canary@h",
        "redis://:ca/na?ry#canary@h",
        "redis://h?password=canary",
        "postgresql://h/d?user=a@b&password=canary",
    ],
)
def test_a_password_is_hidden_wherever_it_stands_in_a_url(url):
    assert "canary" not in repr(Stores(redis_url=url)) + repr(Stores(database_url=url))


def test_a_url_without_a_password_is_shown():
    shown = repr(Stores(redis_url="redis://h:6379/0"))
    assert "redis://h:6379/0" in shown and "sqlite:///var/relay.db" in shown


def test_everything_else_is_shown():
    assert "bind='127.0.0.1:8000'" in repr(Settings()) and "name='default'" in repr(Settings())


@pytest.mark.parametrize("struct", [Settings(), Server(), Models(), Upstream()])
def test_nothing_can_be_changed(struct):
    with pytest.raises(AttributeError):
        setattr(struct, struct.__struct_fields__[0], None)


def test_a_changed_copy_leaves_the_original():
    copy = msgspec.structs.replace(Server(), workers=2)
    assert (copy.workers, Server().workers) == (2, 1)
