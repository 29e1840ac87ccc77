# Two commands: `make demo` shows what the package is for, `make test` runs the tests.
# Each builds .venv first when it is missing; Python 3.10 to 3.13 and make are all that is needed.

VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || command -v python3)
RUN    := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
JOBS   ?= 2
OUT    ?= runs/demo
OLDEST ?= .venv-oldest
NEWEST ?= .venv-newest
SUITE  := OMP_NUM_THREADS=1 nice -n 5
# BasicSR is older than either end of the versions and is tested in .venv; its tests are skipped there.
EXTRAS := clip,train,download,cli,plot,text,panel,search,serve,tune,export,lightning,torchmetrics,docs,dev

.PHONY: help demo test graphs slow check lint-imports contracts surface docs site format oldest newest wheel web clean

help:  ## Say what there is to make.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP)  ## Train a super-resolution network with MDIQALoss; DATA=folder takes your own photographs.
	$(RUN) -m examples.demo --out "$(OUT)" $(if $(DATA),--data "$(DATA)")

test: $(STAMP)  ## Run the tests (the full-size models are in `make slow`).
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadscope -m "not slow"

graphs: $(STAMP)  ## Compile and export each scorer, mode and form at least once (all of them: `make slow`).
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) tests/laws/test_compile.py -m graphs

slow: $(STAMP)  ## Run the tests of the full-size models.
	$(RUN) -m pytest -q -m slow

check: $(STAMP) lint-imports  ## Lint, check the format, the types and the layers of imports.
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

lint-imports: $(STAMP)  ## Check that imports run downwards only.
	$(VENV)/bin/lint-imports

contracts: $(STAMP)  ## Compare public names, generated pages, workflows and sizes with what they must be.
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q tests/contracts tests/test_public_api.py \
		$(wildcard tests/howto tests/scorers/test_scorer_tables.py)

surface: $(STAMP)  ## Accept a change of the public surface on purpose: write tests/contracts/api_surface.json.
	$(RUN) -m tests.contracts.surface --write

docs: $(STAMP)  ## Make the pages and tables that are printed from the code.
	$(RUN) -m benchmarks.scorer_costs --no-count

site: $(STAMP)  ## Build the documentation; a warning or a dead link fails.
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

format: $(STAMP)  ## Format the code.
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

oldest: $(OLDEST)/.installed  ## Run the tests on the oldest supported versions (constraints/oldest.txt).
	$(SUITE) $(OLDEST)/bin/python -m pytest -q -n $(JOBS) --dist loadscope -m "not slow"

newest: $(NEWEST)/.installed  ## Run the tests on the newest versions of everything.
	$(SUITE) $(NEWEST)/bin/python -m pytest -q -n $(JOBS) --dist loadscope -m "not slow"

wheel: $(STAMP)  ## Build wheel and sdist, check them, and score an image with the wheel in an environment of its own.
	$(RUN) -m testing.wheel

web:  ## Fetch onnxruntime-web, with which the tests of the scoring page run in a browser.
	npm install --no-save --no-package-lock --silent onnxruntime-web@1.30

clean:  ## Remove the environments and what was built.
	rm -rf $(VENV) $(OLDEST) $(NEWEST) runs build dist

$(STAMP): setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"Python 3.10 to 3.13 is needed, found {v[0]}.{v[1]}; pass PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip setuptools wheel
	$(RUN) -m pip install --quiet torch torchvision numpy cython
# BasicSR builds against the torch that is there, not against a second one; it cannot be built on Python 3.13.
	if $(RUN) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(RUN) -m pip install --quiet --no-build-isolation basicsr==1.4.2; fi
	$(RUN) -m pip install --quiet -e '.[all]'
# BasicSR brings an OpenCV that wants a display's libraries; a machine without them gets the one that does not.
	$(RUN) -c 'import cv2' 2>/dev/null || $(RUN) -m pip install --quiet --force-reinstall --no-deps opencv-python-headless
	@touch $@

$(OLDEST)/.installed: setup.py constraints/oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet -c constraints/oldest.txt -e '.[$(EXTRAS)]'
	@touch $@

$(NEWEST)/.installed: setup.py
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade -e '.[$(EXTRAS)]'
	@touch $@
