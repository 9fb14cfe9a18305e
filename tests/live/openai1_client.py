"""What openai-python 1.x makes of the relay: one JSON object on standard output, an outcome for each thing tried.

Run by test_sdk_openai1.py in the virtual environment of that client, where nothing else of the project can be imported.
"""

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import openai

ASK: Any = [{"role": "user", "content": "What is a relay?"}]
ODD_FORMS = os.environ["ODD_FORMS"].split()
SLOW_ODD_FORMS = ["ids", "retry", "comments", "crlf"]

client = openai.OpenAI(base_url=os.environ["RELAY_URL"], api_key=os.environ["RELAY_KEY"], max_retries=0)


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"@t\d+:(\d+):", text)]


def read(create: Callable[[], Iterable[Any]], text_of: Callable[[Any], str | None]) -> dict[str, Any]:
    began = time.monotonic()
    events = create()
    opened_seconds = time.monotonic() - began
    return {"numbers": numbers("".join(text_of(event) or "" for event in events)), "opened_seconds": opened_seconds}


def chat(model: str) -> dict[str, Any]:
    create = client.chat.completions.create
    return read(lambda: create(model=model, messages=ASK, stream=True), lambda chunk: chunk.choices[0].delta.content)


def completions(model: str) -> dict[str, Any]:
    create = client.completions.create
    return read(lambda: create(model=model, prompt="What?", stream=True), lambda chunk: chunk.choices[0].text)


def responses(model: str) -> dict[str, Any]:
    create = client.responses.create
    return read(
        lambda: create(model=model, input="What?", stream=True),
        lambda event: event.delta if event.type == "response.output_text.delta" else "",
    )


def whole_answers() -> list[list[int]]:
    chosen = client.chat.completions.create(model="mock-n3", messages=ASK).choices[0].message.content
    completed = client.completions.create(model="mock-n3", prompt="What?").choices[0].text
    response = client.responses.create(model="mock-n3", input="What?").output_text
    return [numbers(chosen or ""), numbers(completed), numbers(response)]


def usage() -> list[Any]:
    options: Any = {"include_usage": True}
    chunks = client.chat.completions.create(model="mock-n3", messages=ASK, stream=True, stream_options=options)
    return [len(chunk.choices) or chunk.usage.completion_tokens for chunk in chunks if not chunk.choices or chunk.usage]


def embeddings() -> list[int]:
    answer = client.embeddings.create(model="demo", input=["one", "two"])
    return [len(item.embedding) for item in answer.data]


def models() -> list[str]:
    return [model.id for model in client.models.list()]


def wrong_key() -> None:
    openai.OpenAI(base_url=client.base_url, api_key="rk_unknown", max_retries=0).models.list()


def asked_again(fault: str) -> int:
    """How often the upstream is asked when the client may ask three times."""
    before = stats()["requests"]
    try:
        client.with_options(max_retries=2).chat.completions.create(model=fault, messages=ASK)
    except openai.InternalServerError:
        return stats()["requests"] - before
    raise AssertionError("the fault was no fault")


def closed_early(model: str) -> float:
    """Seconds from closing a stream to its upstream's being stopped."""
    stream = client.chat.completions.create(model=model, messages=ASK, stream=True)
    next(stream)
    before, closed_at = stats()["cancelled"], time.monotonic()
    stream.close()
    while stats()["cancelled"] == before and time.monotonic() < closed_at + 5:
        time.sleep(0.01)
    return time.monotonic() - closed_at


def stats() -> dict[str, int]:
    with urllib.request.urlopen(os.environ["STATS_URL"], timeout=5) as answer:
        return dict(json.load(answer))


def outcome(attempt: Callable[[], object]) -> object:
    """What it returns, or the error that the client raised."""
    try:
        return attempt()
    except openai.APIError as error:
        return {"raised": type(error).__name__, "code": error.code, "status": getattr(error, "status_code", None)}


STREAMS = {"chat": chat, "completions": completions, "responses": responses}
TOGETHER: dict[str, Callable[[], object]] = {
    "whole answers": whole_answers,
    "usage": usage,
    "embeddings": embeddings,
    "models": models,
    "wrong key": wrong_key,
    **{
        f"{name} {model}": partial(stream, model)
        for name, stream in STREAMS.items()
        for model in (
            ["mock-n50", "mock-n5-i1500000", "mock-n3-d3000000", "fault-429", "fault-404", "fault-401"]
            + ["fault-reset", "fault-eof-no-done", "fault-429-d2000000"]
            + [f"fault-{form}" for form in ODD_FORMS]
        )
    },
    **{f"chat fault-{form}-n2-i1500000": partial(chat, f"fault-{form}-n2-i1500000") for form in SLOW_ODD_FORMS},
}
# What looks at the upstream's counters is tried alone.
APART: dict[str, Callable[[], object]] = {
    "asked again fault-500": partial(asked_again, "fault-500"),
    "asked again fault-redirect": partial(asked_again, "fault-redirect"),
    "closed early": partial(closed_early, "mock-n1000-i50000"),
    "closed during silence": partial(closed_early, "mock-n2-i20000000"),
}

if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        outcomes = dict(zip(TOGETHER, pool.map(outcome, TOGETHER.values()), strict=True))
    outcomes |= {name: outcome(attempt) for name, attempt in APART.items()}
    print(json.dumps(outcomes))
