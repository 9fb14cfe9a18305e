"""The optional peers: other gateways, in environments of their own that `make -C bench peers` installs."""

from bench.peers import KEY, Running, Site, Start, bearer
from bench.programs import ROOT, BenchError, Program, ask_status, free_port

LITELLM = ROOT / ".venv-litellm/bin/litellm"
PORTKEY = ROOT / "var/bench/portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
LITELLM_KEY = f"sk-{KEY}"
LITELLM_CONFIGURATION = """
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "{base_url}", api_key: "sk-up"}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false, num_retries: 0, request_timeout: 300}}
"""


def start_litellm(site: Site) -> Running:
    """LiteLLM's proxy with a master key and without a database."""
    if not LITELLM.exists():
        raise BenchError("it is not installed; `make -C bench peers` tells why")
    port = free_port()
    configuration = site.directory / "litellm.yaml"
    configuration.write_text(LITELLM_CONFIGURATION.format(base_url=site.base_url, key=LITELLM_KEY))
    command = [str(LITELLM), "--host", "127.0.0.1", "--port", str(port), "--config", str(configuration)]
    program = Program("litellm", command, site.directory, site.peer_core, {"HOME": str(site.directory)})
    program.wait_until(lambda: ask_status(port, "GET", "/health/liveliness", {}) == 200, seconds_max=180)
    return Running(port, bearer(LITELLM_KEY), program)


def start_portkey(site: Site) -> Running:
    """Portkey's gateway; it passes the caller's key on and checks none itself."""
    if not PORTKEY.exists():
        raise BenchError("it is not installed; `make -C bench peers` tells why")
    port = free_port()
    program = Program("portkey", ["node", str(PORTKEY), "--headless", f"--port={port}"], site.directory, site.peer_core)
    program.wait_until(lambda: ask_status(port, "GET", "/", {}) > 0)
    routing = ("x-portkey-provider: openai", f"x-portkey-custom-host: {site.base_url}")
    return Running(port, (*bearer("sk-up"), *routing), program, checks_keys=False)


OPTIONAL: dict[str, Start] = {"litellm": start_litellm, "portkey": start_portkey}
