"""Which upstreams may serve a request, in the order in which they are tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.request import MODEL_CHARACTERS_MAX


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream.

    `base_url` has no trailing slash; `auth` is `bearer` or `x-api-key`. Its key is not shown by repr.
    """

    name: str
    base_url: str
    api_key: str = field(repr=False)
    auth: str = "bearer"
    forward_headers: tuple[str, ...] = ()
    ca_file: str = ""

    def credential(self) -> dict[str, str]:
        """The header that carries this upstream's key, if it has one."""
        if not self.api_key:
            return {}
        return {"X-API-Key": self.api_key} if self.auth == "x-api-key" else {"Authorization": f"Bearer {self.api_key}"}


class Routing:
    """Chooses targets. `known`: the models that are configured by name, with their upstreams."""

    def __init__(self, targets: Sequence[Target], known: Mapping[str, Sequence[Target]], *, pass_unknown: bool) -> None:
        self._default, self._known, self._pass_unknown = tuple(targets[:1]), known, pass_unknown

    def targets_for(self, model: str | None, caller: Caller) -> Sequence[Target]:
        """Return the targets for `model`; None where the route is about no model in particular.

        Raises RelayError: model_not_allowed, model_not_found.
        """
        if model is None:
            return self._default
        allowed = caller.policy.models
        if allowed and model not in allowed:
            raise RelayError("model_not_allowed", f"This key may not use {_named(model)}.", param="model")
        if model in self._known:
            return self._known[model]
        if model and not self._pass_unknown:
            raise RelayError("model_not_found", f"No upstream is configured for {_named(model)}.", param="model")
        return self._default


def _named(model: str) -> str:
    return f"the model '{model[:MODEL_CHARACTERS_MAX]}'" if model else "a request without a model"
