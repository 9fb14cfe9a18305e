"""Values on their way to structs, field by field and rule by rule: msgspec alone would stop at its first problem."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from config.checks import Rule, quoted
from config.schema import NEVER_ECHOED, Price
from config.sources import Given, unknown_name

# resolved from the environment, never given in the file
_RESOLVED = {"api_key": "unknown setting: the key itself never stands in the file; name its variable in api_key_env"}


@dataclass
class Draft:
    """What was given under each label (`[stream] heartbeat_seconds`), what of it and of the defaults is good, and the
    problems. A price that is not good is None: nothing is built once there is a problem."""

    problems: list[str] = field(default_factory=list)
    given: dict[str, Given] = field(default_factory=dict)
    good: dict[str, Any] = field(default_factory=dict)

    def convert(self, kind: type[Struct], where: str, table: Mapping[str, Given]) -> dict[str, Any]:
        """The struct's keyword arguments, defaults included; what did not convert is missing, and a problem."""
        known = {f.name: f for f in fields(kind) if f.name not in _RESOLVED}
        self.given.update({f"{where} {name}": given for name, given in table.items()})
        for name in sorted(table.keys() - known.keys()):
            self.refuse([f"{where} {name}"], _RESOLVED.get(name) or unknown_name(name, list(known)))
        for name, info in known.items():
            self._convert_field(info, f"{where} {name}")
        return {name: self.good[f"{where} {name}"] for name in known if f"{where} {name}" in self.good}

    def check(self, rules: Iterable[Rule], prefix: str = "") -> None:
        """Apply each rule whose values are all good."""
        for rule in rules:
            labels = [prefix + name for name in rule.names]
            if self.good.keys() >= set(labels):
                for reason in rule.reasons(*(self.good[label] for label in labels)):
                    self.refuse(labels, reason)

    def refuse(self, labels: list[str], reason: str) -> None:
        """Add a problem with the first label, naming where each of the values came from."""
        sources = " and ".join(dict.fromkeys(self.given[label].source for label in labels if label in self.given))
        self.problems.append(f"{labels[0]}: {reason}" + (f" (from {sources})" if sources else ""))

    def _convert_field(self, info: FieldInfo, label: str) -> None:
        if label in self.given:
            self._convert_value(info, label, self.given[label].value)
        elif info.required:
            self.refuse([label], "must be given")
        else:
            self.good[label] = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()

    def _convert_value(self, info: FieldInfo, label: str, value: object) -> None:
        wanted, meta = get_args(info.type)
        try:
            if get_origin(wanted) is dict:
                self._convert_prices(label, msgspec.convert(value, dict[str, Any]))
            else:
                self.good[label] = msgspec.convert(value, info.type)
        except msgspec.ValidationError:
            got = "" if info.name in NEVER_ECHOED else f", got {quoted(value)}"
            self.refuse([label], f"must be {meta.description}{got}")

    def _convert_prices(self, label: str, entries: dict[str, Any]) -> None:
        source = self.given[label].source
        self.good[label] = {model: self._convert_price(model, entry, source) for model, entry in entries.items()}

    def _convert_price(self, model: str, entry: object, source: str) -> Price | None:
        where = f"[models.prices] {json.dumps(model)}"
        if not isinstance(entry, dict):
            self.problems.append(f"{where}: must be a table like {{ input = 2.0, output = 8.0 }} (from {source})")
            return None
        values = self.convert(Price, where, {name: Given(value, source) for name, value in entry.items()})
        return Price(**values) if len(values) == len(fields(Price)) else None
