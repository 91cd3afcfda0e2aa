# Two commands do everything on a machine that has Python 3.11 or newer and make:
#   make demo    install into .venv, train three taggers on an embedded corpus, show what each remembers
#   make test    install into .venv with the test tools; ruff, mypy, pytest
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --use-pep517 --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/elman demo --out demo-out

# One thread each: threads of two tests at once would wait for each other. Many tests wait for a server, a browser or a
# compiler, so three processes keep two cores busy.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[test]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) demo-out dist build .mypy_cache .ruff_cache .hypothesis
