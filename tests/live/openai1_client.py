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
from openai import OpenAI

ASK: Any = [{"role": "user", "content": "What is a relay?"}]
SLOW_ODD_FORMS = ["ids", "retry", "comments", "crlf"]
SLOW_MODELS = ["mock-n5-i1500000", "mock-n3-d3000000", "fault-429-d2000000"]
FAST_MODELS = ["mock-n50", "fault-429", "fault-404", "fault-401", "fault-reset", "fault-eof-no-done"]

Attempts = dict[str, Callable[[], object]]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"@t\d+:(\d+):", text)]


def read(create: Callable[[], Iterable[Any]], text_of: Callable[[Any], str | None]) -> dict[str, Any]:
    began = time.monotonic()
    events = create()
    opened_seconds = time.monotonic() - began
    return {"numbers": numbers("".join(text_of(event) or "" for event in events)), "opened_seconds": opened_seconds}


def chat(client: OpenAI, model: str) -> dict[str, Any]:
    create = client.chat.completions.create
    return read(lambda: create(model=model, messages=ASK, stream=True), lambda chunk: chunk.choices[0].delta.content)


def completions(client: OpenAI, model: str) -> dict[str, Any]:
    create = client.completions.create
    return read(lambda: create(model=model, prompt="What?", stream=True), lambda chunk: chunk.choices[0].text)


def responses(client: OpenAI, model: str) -> dict[str, Any]:
    create = client.responses.create
    return read(
        lambda: create(model=model, input="What?", stream=True),
        lambda event: event.delta if event.type == "response.output_text.delta" else "",
    )


def whole_answers(client: OpenAI) -> list[list[int]]:
    chosen = client.chat.completions.create(model="mock-n3", messages=ASK).choices[0].message.content
    completed = client.completions.create(model="mock-n3", prompt="What?").choices[0].text
    response = client.responses.create(model="mock-n3", input="What?").output_text
    return [numbers(chosen or ""), numbers(completed), numbers(response)]


def usage(client: OpenAI) -> list[Any]:
    options: Any = {"include_usage": True}
    chunks: Any = client.chat.completions.create(model="mock-n3", messages=ASK, stream=True, stream_options=options)
    return [[len(chunk.choices), chunk.usage.completion_tokens] for chunk in chunks if chunk.usage or not chunk.choices]


def embeddings(client: OpenAI) -> list[int]:
    answer = client.embeddings.create(model="demo", input=["one", "two"])
    return [len(item.embedding) for item in answer.data]


def models(client: OpenAI) -> list[str]:
    return [model.id for model in client.models.list()]


def asked(client: OpenAI, model: str) -> int:
    """How often the upstream is asked when the client may ask three times."""
    before = stats()["requests"]
    try:
        client.with_options(max_retries=2).chat.completions.create(model=model, messages=ASK)
    except openai.InternalServerError:
        return stats()["requests"] - before
    raise AssertionError("the fault was no fault")


def closed_early(client: OpenAI, model: str) -> float:
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


def streams(client: OpenAI, asked_for: list[str]) -> Attempts:
    routes = {"chat": chat, "completions": completions, "responses": responses}
    return {f"{name} {model}": partial(route, client, model) for name, route in routes.items() for model in asked_for}


def slow(client: OpenAI) -> Attempts:
    odd = [f"fault-{form}-n2-i1500000" for form in SLOW_ODD_FORMS]
    return {**streams(client, SLOW_MODELS), **{f"chat {model}": partial(chat, client, model) for model in odd}}


def fast(client: OpenAI, odd_forms: list[str]) -> Attempts:
    whole = {attempt.__name__: partial(attempt, client) for attempt in (whole_answers, usage, embeddings, models)}
    stranger = {"wrong key": partial(models, client.with_options(api_key="rk_unknown"))}
    return {**whole, **stranger, **streams(client, FAST_MODELS + [f"fault-{form}" for form in odd_forms])}


def counting(client: OpenAI) -> Attempts:
    """What looks at the upstream's counters: no other may begin meanwhile, or be cancelled."""
    return {
        "asked fault-500": partial(asked, client, "fault-500"),
        "asked fault-redirect": partial(asked, client, "fault-redirect"),
        "closed early": partial(closed_early, client, "mock-n1000-i50000"),
        "closed during silence": partial(closed_early, client, "mock-n2-i20000000"),
    }


def outcome(attempt: Callable[[], object]) -> object:
    """What it returns, or what it raised: an error of the client's own, or anything else."""
    try:
        return attempt()
    except openai.APIError as error:
        return {"raised": type(error).__name__, "code": error.code, "status": getattr(error, "status_code", None)}
    except Exception as error:
        return {"broke": repr(error)}


def main() -> None:
    client = OpenAI(base_url=os.environ["RELAY_URL"], api_key=os.environ["RELAY_KEY"], max_retries=0)
    quick = fast(client, os.environ["ODD_FORMS"].split())
    with ThreadPoolExecutor(32) as many, ThreadPoolExecutor(8) as few:
        waiting = {name: many.submit(outcome, attempt) for name, attempt in slow(client).items()}
        outcomes = dict(zip(quick, few.map(outcome, quick.values()), strict=True))
        outcomes |= {name: outcome(attempt) for name, attempt in counting(client).items()}
        outcomes |= {name: future.result() for name, future in waiting.items()}
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
