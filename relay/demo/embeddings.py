"""Bodies of /v1/embeddings: small unit vectors, the same for the same text."""

import base64
import hashlib
import math
import struct
from typing import Any

from relay.demo.orders import Order
from relay.demo.script import encode
from relay.demo.wire import Refused

DIMENSIONS = 16
DIMENSIONS_MAX = 3_072
INPUTS_MAX = 128


def embeddings(order: Order) -> dict[str, Any]:
    """One vector per input (texts or token lists), as floats or, as the SDKs ask, base64 of little-endian float32.

    Raises Refused(400) for another kind of input.
    """
    size = _dimensions(order.body.get("dimensions"))
    pack = _packed if order.body.get("encoding_format") == "base64" else list
    vectors = [pack(_vector(encode(item), size)) for item in _inputs(order.body.get("input"))]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": order.prompt_tokens, "total_tokens": order.prompt_tokens}
    return {"object": "list", "data": data, "model": order.model, "usage": usage}


def _inputs(given: Any) -> list[Any]:
    inputs = given if isinstance(given, list) and not _is_tokens(given) else [given]
    if len(inputs) > INPUTS_MAX or not all(isinstance(item, str) or _is_tokens(item) for item in inputs):
        raise Refused(400, f"The input is a text, a list of tokens, or a list of at most {INPUTS_MAX} of these.")
    return inputs


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _dimensions(asked: Any) -> int:
    return min(asked, DIMENSIONS_MAX) if type(asked) is int and asked > 0 else DIMENSIONS


def _vector(seed: bytes, size: int) -> list[float]:
    digest = hashlib.shake_256(seed).digest(2 * size)
    raw = [number / 32_768 for number in struct.unpack(f"<{size}h", digest)]
    length = math.hypot(*raw) or 1.0
    return [number / length for number in raw]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
