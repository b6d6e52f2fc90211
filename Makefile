# Everything a newcomer or CI needs; `make help` lists the targets.
PYTHON ?= python3
PORT   ?= 8080
VENV   := .venv
TRAINERS := .venv-trainers
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev serve demo test test-languages test-gvisor test-compose manifests fault test-trainers example-grpo lint types accuracy bench soak clean-machine sbom lock tables clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is %d.%d. Try: make $(MAKECMDGOALS) PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv module is missing; on Debian/Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

# A stamp per lock file, so that `make serve` starts at once when nothing has changed.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml $(VENV)/.runtime
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.runtime  ## create .venv with the pinned dependencies and the package

setup-dev: $(VENV)/.dev

serve: setup  ## start the service on 127.0.0.1:$(PORT)
	$(BIN)/reward-service serve --port $(PORT)

demo: setup  ## score a small mixed dump that ships with the repository
	$(BIN)/reward-service score examples/rollouts.jsonl -o $(VENV)/demo-scored.jsonl --overwrite

test: setup-dev  ## run the tests (sets up what they need)
	@$(BIN)/python -m tests.engine
	# One hash seed for all workers: ids of tests are made from sets, too.
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -n 2 $(ARGS)

test-languages: setup-dev  ## every language of the polyglot sandbox image
	REWARD_SERVICE_TEST_LANGUAGES=all $(BIN)/python -m pytest -q tests/contract/test_languages.py $(ARGS)

test-gvisor: setup-dev  ## the suites of the sandbox on gVisor (Debian's runsc)
	REWARD_SERVICE_TEST_RUNTIMES=runsc $(BIN)/python -m pytest -q -k docker-runsc tests/contract/test_sandbox.py tests/contract/test_languages.py tests/hacks/test_containment.py tests/hacks/test_code_hacks.py $(ARGS)

test-trainers: setup-dev $(TRAINERS)/.done  ## the trainers' own clients against the service (torch and six trainers, CPU; RECORD=1 keeps the wire)
	REWARD_SERVICE_TRAINERS=1 REWARD_SERVICE_RECORD=$(RECORD) $(TRAINERS)/bin/python -m pytest -q -p no:cacheprovider -o filterwarnings=ignore tests/trainers $(ARGS)

example-grpo: setup $(TRAINERS)/.done  ## train a tiny model with TRL's GRPO on the service's rewards, and plot it
	$(TRAINERS)/bin/python examples/grpo/train.py $(ARGS)

# Without dependencies: six trainers that want each other's versions excluded live side by side as far as their clients need.
$(TRAINERS)/.done: requirements/trainers.txt requirements/trainers-legacy.txt
	$(PYTHON) -m venv $(TRAINERS)
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/trainers.txt
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(TRAINERS)/legacy -r requirements/trainers-legacy.txt
	@touch $@

fault: setup-dev  ## every fault test of docs/faults.md at length, with its figures: workers, Redis, gateways and sandboxes are killed; abuse at length
	FAULT=1 $(BIN)/python -m pytest -p tests.fault.figures tests/fault tests/gateway/test_abuse.py tests/gateway/test_access.py tests/gateway/test_connection.py tests/gateway/test_fuzz.py tests/gateway/test_http1.py tests/gateway/test_limits.py tests/hacks/test_secrets.py -m fault $(ARGS)

lint: setup-dev  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev  ## mypy, strict
	$(BIN)/mypy

accuracy: setup-dev  ## agreement with the labelled sets, per handler
	$(BIN)/python -m tests.accuracy $(ARGS)
	@command -v bwrap >/dev/null && $(BIN)/python -m tests.accuracy_code || echo "code sets: not judged, bubblewrap is not installed"

bench: setup-dev  ## CPU per item: gateway, pool, handlers, cache
	$(BIN)/python -m tests.load $(ARGS)

manifests: setup-dev  ## render deploy/k8s from the Helm chart, and the engine's Dockerfile from the sandbox's
	$(BIN)/python -m deploy.manifests
	$(BIN)/python deploy/images/engine/make.py

test-compose: setup-dev  ## build the images and run the whole stack of docker-compose.yml on an engine of the tests' own
	REWARD_SERVICE_TEST_COMPOSE=1 $(BIN)/python -m pytest -q -x tests/deploy/test_stack.py $(ARGS)

soak: setup-dev  ## a fleet under load for MINUTES=30 while workers, Redis and sandboxes are killed
	$(BIN)/python -m tests.load.soak --minutes $(MINUTES) $(ARGS)
MINUTES ?= 30

clean-machine: setup-dev  ## the README's two commands on a Debian with nothing else, timed (root, debootstrap)
	$(BIN)/python -m deploy.clean_machine $(ARGS)

tables: setup-dev  ## regenerate the generated tables in README.md
	$(BIN)/python -m tests.tables --write

sbom: setup-dev  ## what the service is made of, as CycloneDX, from the lock file: artifacts/sbom.json
	@mkdir -p artifacts
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible -o artifacts/sbom.json

lock: setup-dev  ## resolve the dependencies again, with hashes
	$(BIN)/uv pip compile -q --upgrade $(LOCK) $(EXTRAS) -o requirements/runtime.txt
	$(BIN)/uv pip compile -q $(LOCK) -c requirements/runtime.txt $(EXTRAS) --extra otel --extra dev -o requirements/dev.txt
EXTRAS := --extra redis --extra docker --extra parquet --extra science --extra instruction --extra gym
LOCK := pyproject.toml requirements/build.in --override requirements/unneeded.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
