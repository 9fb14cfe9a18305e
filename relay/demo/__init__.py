"""The built-in demo upstream: a keyless OpenAI-compatible server, for a first try and as a test partner."""
