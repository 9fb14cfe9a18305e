"""What openai-python, 1.x or 3.x, reads of streams that are kept, with ids and without: one JSON object on standard
output. Run by test_streams_sdks.py, also in the virtual environment where nothing else of the project can be imported.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import OpenAI

ASK: Any = [{"role": "user", "content": "What is a relay?"}]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"@t\d+:(\d+):", text)]


def read(events: Iterable[Any], text_of: Callable[[Any], str | None]) -> list[int]:
    return numbers("".join(text_of(event) or "" for event in events))


def chat(client: OpenAI, model: str) -> list[int]:
    create = client.chat.completions.create
    return read(create(model=model, messages=ASK, stream=True), lambda chunk: chunk.choices[0].delta.content)


def completions(client: OpenAI, model: str) -> list[int]:
    create = client.completions.create
    return read(create(model=model, prompt="What?", stream=True), lambda chunk: chunk.choices[0].text)


def responses(client: OpenAI, model: str) -> list[int]:
    create = client.responses.create
    return read(
        create(model=model, input="What?", stream=True),
        lambda event: event.delta if event.type == "response.output_text.delta" else "",
    )


def outcome(read_route: Callable[[OpenAI, str], list[int]], client: OpenAI, model: str) -> object:
    try:
        return read_route(client, model)
    except Exception as error:
        return repr(error)


def main() -> None:
    routes = {"chat": chat, "completions": completions, "responses": responses}
    keys = {"plain": os.environ["RELAY_KEY"], "kept": os.environ["KEPT_KEY"]}
    futures = {}
    with ThreadPoolExecutor(32) as pool:
        for key_name, key in keys.items():
            client = OpenAI(base_url=os.environ["RELAY_URL"], api_key=key, max_retries=0)
            for name, route in routes.items():
                for model in os.environ["MODELS"].split(" "):
                    futures[f"openai {name} {key_name} {model}"] = pool.submit(outcome, route, client, model)
    print(json.dumps({name: future.result() for name, future in futures.items()}))


main()
