"""The naive peer: the relay in Flask that everyone writes first. UPSTREAM names the base URL."""

import os

import requests
from flask import Flask, Response, jsonify, request, stream_with_context
from flask_cors import CORS

KEYS = {"rk_bench"}
UPSTREAM = os.environ["UPSTREAM"]

app = Flask(__name__)
CORS(app)


def has_key() -> bool:
    return request.headers.get("Authorization", "").removeprefix("Bearer ") in KEYS


@app.post("/v1/chat/completions")
def chat():
    if not has_key():
        return jsonify(error={"message": "Invalid API key"}), 401
    body = request.get_json()
    is_stream = body.get("stream", False)
    answer = requests.post(
        f"{UPSTREAM}/chat/completions",
        json=body,
        headers={"Authorization": "Bearer sk-up"},
        stream=is_stream,
        timeout=300,
    )
    if not is_stream:
        return jsonify(answer.json()), answer.status_code

    def frames():
        for line in answer.iter_lines():
            if line:
                yield line + b"\n\n"

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(stream_with_context(frames()), answer.status_code, headers, content_type="text/event-stream")
