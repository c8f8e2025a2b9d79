# Commands for people: `make demo` and `make demo-answers` show what petition does, `make test`
# proves it. Each sets up .venv by itself; none needs another.

PYTHON ?= python3
BIN := .venv/bin
DEMO := build/demo
FRESH_EXAMPLE = rm -rf $(DEMO) && mkdir -p $(DEMO) && cp -R petition.toml letters annex *.csv $(DEMO)/

.PHONY: demo demo-answers test test-kill lint format clean

demo: .venv/installed
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo.sh $(BIN)/petition $(DEMO)

# What comes back, and what is told of it.
demo-answers: .venv/installed
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo_answers.sh $(BIN)/petition $(DEMO) \
		$(BIN)/python

test: .venv/installed-dev
	$(BIN)/pytest $(PYTEST_ARGS)

# The kill tests alone, with what they come to; PYTEST_ARGS="-n 2" spreads them.
test-kill: .venv/installed-dev
	WORKERS_KILLED=50 $(BIN)/pytest -q -s $(PYTEST_ARGS) tests/acceptance/test_kill.py \
		tests/acceptance/test_kill_random.py tests/acceptance/test_workers.py -k kill

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist outbox rehearsal.db rehearsal.db-wal rehearsal.db-shm rehearsal.db.lock
