"""All findings, in the order in which a request meets what they are about."""

from collections.abc import Callable, Sequence

from relay.core.diagnosis import headers, reaching, streaming
from relay.core.diagnosis.evidence import Evidence, Finding

Rule = Callable[[Evidence], Finding | None]

RULES: Sequence[Rule] = (
    reaching.admitted,
    streaming.inner_protocol,
    streaming.outer_protocol,
    streaming.unbuffered,
    streaming.uncompressed,
    streaming.whole,
    streaming.kept_alive,
    headers.sent_through,
    headers.sent_back,
    headers.errors_pass,
    headers.origin_arrives,
    headers.preflight,
    headers.on_answers,
    headers.on_errors,
)


def verdict(evidence: Evidence) -> list[Finding]:
    """What was looked at; where the relay is not reached, that alone."""
    first = reaching.reached(evidence)
    if not first.ok:
        return [first]
    found = [first, *(finding for rule in RULES if (finding := rule(evidence)) is not None)]
    return [finding for finding in found if not _follows(finding, found)]


def _follows(finding: Finding, found: Sequence[Finding]) -> bool:
    """Whether it only says what another one causes: one culprit is named once."""
    wrong = {other.name for other in found if not other.ok}
    if finding.ok or "cors_origin" not in wrong:
        return False
    return finding.name in {"cors_preflight", "cors_answers", "cors_errors"}


def unchecked(evidence: Evidence) -> list[str]:
    """What could not be looked at, and what it would take."""
    left = []
    if evidence.plain is None:
        left.append("streams and headers: give a key (--key, or RELAY_KEY)")
    if not evidence.origin:
        left.append("CORS: give the page's origin (--origin https://app.example)")
    silent = evidence.silent
    if evidence.plain is not None and silent is None:
        left.append("idle cuts: --idle, which takes a while")
    if silent is not None and silent.was_refused:
        left.append(f"idle cuts: the relay refused ({silent.error or silent.answer.shown})")
    return left
