# `make demo` and `make test` need only make and Python >= 3.11; the first call sets up .venv, later ones re-use it.
PYTHON   ?= python3
PIP_ARGS ?= -c constraints.txt
WORKERS  ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS)

.PHONY: demo test coverage tutorials lint docs clean
.NOTPARALLEL:

demo: .venv/.with-test
	$(BIN)/python -m scget demo

test: .venv/.with-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

coverage: .venv/.with-dev
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadfile
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage xml -q
	$(BIN)/python -m coverage report --skip-covered

tutorials: .venv/.with-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbmake tutorials

lint: .venv/.with-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.with-doc
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv build dist demo-output docs/_build docs/generated docs/tutorials
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage .coverage.* coverage.xml
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of extras, out of date when what is to be installed has changed.
.venv/.with-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing scget[$*] into .venv; this takes some minutes the first time."
	$(PIP) -e ".[$*]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'scget needs Python >= 3.11; "$(PYTHON)" is missing or older. Name another: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
