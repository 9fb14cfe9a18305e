"""The default file and the schema say the same, name by name and value by value."""

import re
import tomllib

import msgspec
import pytest

from config import Settings, Upstream, load
from config.sources import DEFAULT_FILE, SECTIONS, from_root

TEXT = from_root(DEFAULT_FILE).read_text(encoding="utf-8")
SETTING = re.compile(r'^("[^"]+"|\w+) = ')


def as_toml_would_give(value):
    return msgspec.to_builtins(value, builtin_types=())


def built_in_defaults():
    document = as_toml_would_give({name: getattr(Settings(), name) for name in SECTIONS})
    upstream = as_toml_would_give(Upstream())
    del upstream["api_key"]
    return msgspec.json.decode(msgspec.json.encode(document | {"upstreams": [upstream]}))


def test_the_file_gives_exactly_the_built_in_defaults_and_names_every_setting():
    assert tomllib.loads(TEXT) == built_in_defaults()


def test_loading_the_file_gives_the_built_in_settings():
    loaded = load({})
    assert msgspec.structs.replace(loaded, config_path=Settings().config_path) == Settings()


def test_an_empty_file_gives_the_same_settings_as_the_default_file(written):
    environ = written("")
    expected = msgspec.structs.replace(load({}), config_path=load(environ).config_path)
    assert load(environ) == expected


def test_sections_and_settings_stand_in_the_order_of_the_schema():
    document = tomllib.loads(TEXT)
    assert list(document) == [*SECTIONS, "upstreams"]
    for section, kind in SECTIONS.items():
        assert list(document[section]) == list(kind.__struct_fields__)


@pytest.mark.parametrize("line", [line for line in TEXT.splitlines() if SETTING.match(line)])
def test_every_setting_is_explained_beside_it_or_on_the_line_above(line):
    lines = TEXT.splitlines()
    above = lines[lines.index(line) - 1]
    assert re.search(r"\s# \S", line) or above.startswith("# ")


def test_the_file_holds_no_secret():
    document = tomllib.loads(TEXT)
    assert (document["auth"]["token_secret"], document["server"]["metrics_token"]) == ("", "")
    assert (document["stores"]["redis_url"], "api_key" in document["upstreams"][0]) == ("", False)
