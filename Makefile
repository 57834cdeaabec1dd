# make demo | make test: each sets everything up that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-$(shell cat requirements/dev.txt pyproject.toml | sha256sum | cut -c1-12)

.PHONY: setup demo test test-unit lint format crds requirements cluster clean

setup: $(SETUP)  ## Make .venv with everything pinned by hash, and .venv/bin/cvstate

$(SETUP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.setup-* && touch $@

crds: setup  ## Write the CRD from the models
	$(BIN)/python -m cvstate_operator.api.crd > crds/clusterstates.cvstate.io.yaml
