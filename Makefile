# make study   run the quickstart study: real images, nothing to download
# make test    the whole test suite
# make docs    the documentation as a site in site/
# make check   lint, spelling, types, import contracts
# make clean   remove the environment; results in mlruns/ stay

PYTHON ?= python3
BIN := .venv/bin

.PHONY: study test docs check clean

study: .venv/installed
	$(BIN)/python run_study.py run quickstart

test: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal # many tests wait: for Ray, for a server

docs: .venv/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html, or serve it, with search: $(BIN)/mkdocs serve"

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md docs examples benchmarks revit search_spaces study tests run_study.py
	$(BIN)/mypy --cache-dir=/dev/null # mypy 2.4 can crash while it writes a cache
	$(BIN)/lint-imports

clean:
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: $(PYTHON) is Python %d.%d; must be 3.11 or newer: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "installing PyTorch, Ray, MLflow and what they need into .venv: some minutes, up to 7 GB of disk"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-%: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[$*]"
	touch $@
