# Two commands for a stranger: `make demo` and `make test`. Each makes its own environment from nothing.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= demo-out
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check -q
PY     := $(VENV)/bin/python
# EXTRAS="st spark" also installs sentence-transformers (and torch) and pyspark, so that their paths are tested too.
EXTRAS ?=

.PHONY: demo test lint check notebooks serve lock clean

demo: $(VENV)/.core
	$(PY) -m cmdclf demo --out $(OUT)

# Without pyspark or Java the tests on Spark are skipped, and the last lines say so.
test: $(VENV)/.test $(if $(filter st,$(EXTRAS)),$(VENV)/.st) $(if $(filter spark,$(EXTRAS)),$(VENV)/.spark) lint
	$(PY) -m pytest

lint: $(VENV)/.test
	$(PY) -m ruff check cmdclf service tests benchmarks
	$(PY) -m mypy

notebooks: $(VENV)/.test
	$(PY) -m marimo run notebooks/anomalies.py --headless --host 127.0.0.1 --port 2718 -- --study $(OUT)

serve: $(VENV)/.test
	$(PY) -m cmdclf serve --model $(OUT)/model

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cmdclf needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# Versions and hashes come from constraints/; the package itself is installed in place.
$(VENV)/.core: constraints/core.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r constraints/core.txt
	$(PIP) install --no-deps -e .
	touch $@

$(VENV)/.test: constraints/test.txt $(VENV)/.core
	$(PIP) install --require-hashes -r constraints/test.txt
	touch $@

# torch is pinned by version alone: its CPU and CUDA builds carry one version and different hashes.
$(VENV)/.st: constraints/st.txt constraints/torch.txt $(VENV)/.test
	$(PIP) install -r constraints/torch.txt
	$(PIP) install --no-deps --require-hashes -r constraints/st.txt
	touch $@

# pyspark has no wheel: pip builds it from its source, which takes a minute.
$(VENV)/.spark: constraints/spark.txt $(VENV)/.test
	$(PIP) install --no-deps --require-hashes -r constraints/spark.txt
	touch $@

lock:
	bash constraints/lock.sh $(PYTHON)

clean:
	rm -rf $(VENV) $(OUT) dist build .mypy_cache .ruff_cache .pytest_cache
