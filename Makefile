# `make run` and `make test` each do all of their own setup. What is set up is remembered in `.ready` stamps.
PYTHON ?= python3
NODE := tests/live/node
# Debian packages that the live tests need; written as file:package.
DEBIAN := \
  /usr/sbin/nginx:nginx \
  /usr/lib/postgresql/15/bin/postgres:postgresql \
  /usr/bin/redis-server:redis-server \
  /usr/bin/gcc:gcc \
  /usr/include/stdlib.h:libc6-dev \
  /usr/bin/prometheus:prometheus \
  /usr/bin/faketime:faketime \
  /usr/bin/chromium:chromium \
  /usr/sbin/ip:iproute2

.PHONY: run test check bench soak clean setup system

run: .venv/.ready
	@exec .venv/bin/python -m relay serve

# Most tests wait more than they work, so two files run side by side; what needs the machine for itself comes behind.
test: setup
	.venv/bin/python -m pytest -n 2 --dist loadfile -m "not soak and not alone"
	.venv/bin/python -m pytest -m "alone and not soak"

check: .venv/.ready-dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -m "not live and not soak"

# PEERS=all adds other gateways, in environments of their own. BENCH takes options: `make bench BENCH=--quick`.
PEERS ?= ours

bench: .venv/.ready system
ifeq ($(PEERS),all)
	@$(MAKE) --no-print-directory .venv/.ready-dev
	@$(MAKE) --no-print-directory -C bench peers PYTHON=$(PYTHON)
endif
	.venv/bin/python -m bench.run --peers $(PEERS) $(BENCH)

soak: setup
	.venv/bin/python -m pytest -m soak -o faulthandler_timeout=0

clean:
	rm -rf .venv .venv-openai1 .venv-litellm $(NODE)/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: .venv/.ready-dev .venv-openai1/.ready $(NODE)/node_modules/.ready system

.venv/.ready: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.ready-dev: .venv/.ready requirements-dev.txt
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.venv-openai1/.ready: tests/live/requirements-openai1.txt
	$(PYTHON) -m venv .venv-openai1
	.venv-openai1/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(NODE)/node_modules/.ready: $(NODE)/package.json $(NODE)/package-lock.json .venv/.ready-dev
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm ci --prefix $(NODE) --no-audit --no-fund --loglevel=error
	@touch $@

# RUNLEVEL=1 keeps Debian's install scripts from starting the services: the tests start their own, on free ports.
system:
	@missing=""; \
	for entry in $(DEBIAN); do test -e "$${entry%%:*}" || missing="$$missing $${entry##*:}"; done; \
	if test -z "$$missing"; then exit 0; fi; \
	if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
	  echo "MISSING:$$missing. The tests that need them will be skipped; as root on Debian: apt-get install$$missing" >&2; exit 0; fi; \
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	install="apt-get install -qq -y --no-install-recommends $$missing"; \
	echo "installing$$missing"; \
	$$install >/dev/null 2>&1 || { apt-get update -qq && $$install >/dev/null; }
