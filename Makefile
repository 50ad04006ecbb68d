# One door for people, hooks and CI. `make demo` and `make test` need git, make and CPython 3.11 or newer; cargo, where it is, builds the native codec.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.dev
RUST := $(shell find otel_ext/wire/native -name '*.rs' -o -name 'Cargo.toml' 2>/dev/null | grep -v /target/)
SHARED ?= ../shared
export OPENBLAS_NUM_THREADS := 1

.PHONY: all demo test check format lint types rust layers bench evaluate captures frameworks lock-frameworks fuzz stack stack-check stack-test clean install

all: check

install: $(STAMP)

$(STAMP): pyproject.toml $(RUST)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip setuptools setuptools-rust
	@$(BIN)/python -m pip install --quiet --no-build-isolation --editable . 2>$(VENV)/install.log || { cat $(VENV)/install.log; exit 1; }
	@$(BIN)/otel-ext version | sed -n 2p
	@touch $@

# What tests and checks need besides: real agent frameworks, linters, the Langfuse SDK; its 3.x and 4.x lines beside the newest, in folders of their own.
$(DEV): $(STAMP)
	@$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[dev]' 2>$(VENV)/install.log || { cat $(VENV)/install.log; exit 1; }
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/langfuse3 'langfuse<4'
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/langfuse4 'langfuse<5'
	@touch $@

demo: $(STAMP)
	@$(BIN)/otel-ext demo

test: $(DEV)
	$(BIN)/python -m pytest

check: $(DEV) lint types rust test

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/api.py
	$(BIN)/mypy --strict --explicit-package-bases collector_config/grafana/*.py

rust:
	@if command -v cargo >/dev/null; then \
	  cd otel_ext/wire/native && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings && cargo test --quiet; \
	else echo "cargo is not here: the Rust part was not checked"; fi

layers: $(DEV)
	$(BIN)/python -m pytest tests/test_layers.py

bench: $(DEV)
	@$(BIN)/python -m pip install --quiet --editable '.[bench]' --no-build-isolation || echo "rotel has no wheel here: its rows are left out"
	$(BIN)/python -m benchmarks.run

evaluate: $(DEV)
	@if test -d $(SHARED)/data; then $(BIN)/python -m tests.evaluate $(SHARED); else echo "$(SHARED)/data is not here: nothing to evaluate"; fi

# Real agent frameworks under their real instrumentation. Their packages conflict: each group has an environment of its own, by uv.
FRAMEWORKS := .venv-frameworks
GROUPS := $(patsubst tests/frameworks/requirements/%.in,%,$(wildcard tests/frameworks/requirements/*.in))
NODE_GROUPS := $(patsubst tests/frameworks/requirements/%.package.json,%,$(wildcard tests/frameworks/requirements/*.package.json))
UV := $(FRAMEWORKS)/.uv/bin/uv

frameworks: $(DEV) $(GROUPS:%=$(FRAMEWORKS)/%/.installed) $(NODE_GROUPS:%=$(FRAMEWORKS)/%/.installed)
	$(BIN)/python -m pytest tests/frameworks

$(FRAMEWORKS)/%/.installed: tests/frameworks/requirements/%.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@if $(UV) pip install --quiet --python $(@D)/bin/python --requirement $<; then touch $@; else echo "$*: NOT INSTALLED, what needs it is not tested"; fi

$(FRAMEWORKS)/%/.installed: tests/frameworks/requirements/%.package.json
	@mkdir -p $(@D) && cp $< $(@D)/package.json
	@if cd $(@D) && npm install --no-audit --no-fund --silent; then touch .installed; else echo "$*: NOT INSTALLED, what needs it is not tested"; fi

$(UV): | $(STAMP)
	@$(BIN)/python -m venv $(FRAMEWORKS)/.uv
	@$(FRAMEWORKS)/.uv/bin/python -m pip install --quiet uv

# The newest versions of what the .in files name, pinned.
lock-frameworks: $(UV)
	@for group in $(GROUPS); do \
	  $(UV) pip compile --quiet --no-header --no-annotate --upgrade --python-version 3.11 tests/frameworks/requirements/$$group.in -o tests/frameworks/requirements/$$group.txt; \
	done

fuzz: $(DEV)
	$(BIN)/python -m tests.fuzz.wire --seconds 60

# The real programs around it, into ~/.cache/otel_ext/stack (STACK_CACHE): Prometheus and Alertmanager from Debian, the rest built with Go.
stack: $(DEV)
	$(BIN)/python -m tests.stack.programs

# Every file of collector_config, accepted by the program it is for. Gets what takes no more than a few minutes.
STACK_SECONDS ?= 1800
stack-check: $(DEV)
	@timeout $(STACK_SECONDS) $(BIN)/python -m tests.stack.programs promtool amtool prometheus alertmanager collector \
	  || echo "NOT EVERY PROGRAM WAS HAD WITHIN $(STACK_SECONDS) s: what is missing is skipped below"
	$(BIN)/python -m pytest -m stack -rs tests/stack/test_checks.py

stack-test: stack
	$(BIN)/python -m pytest -m stack -rs tests/stack

clean:
	rm -rf $(VENV) .venv-frameworks build dist *.egg-info otel_ext/wire/native/target
	find . -name '*.so' -path './otel_ext/*' -delete
