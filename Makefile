# make demo and make test set up everything they need. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-$(shell cat requirements/dev.txt pyproject.toml | sha256sum | cut -c1-12)
RUFF_PATHS := src tests bench deploy
KINDS := clusterstates stateapprovals clusterstateplans emergencystops
SCHEMAS := src/cvstate_operator/schema/kubernetes.json.xz

.PHONY: help setup tools demo test test-unit test-long runbooks new-user image-steps nightly bench lint format crds docs alerts charts dashboards dashboard-pictures install-manifest schemas requirements programs clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 15

setup: $(STAMP)  ## Make .venv with everything pinned by hash, and .venv/bin/cvstate

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.setup-* && touch $@

programs: setup  ## Build the Kubernetes programs for tests and demo (once; about 7 minutes on 2 cores)
	$(BIN)/python -m tests.cluster build

tools: setup  ## Build kustomize and Helm from their Go modules (once; about 2 minutes), into .venv/bin or DEST=directory
	$(BIN)/python -m tests.cluster build kustomize helm
	install -D -t $(or $(DEST),$(BIN)) $$($(BIN)/python -m tests.cluster path kustomize) $$($(BIN)/python -m tests.cluster path helm)

demo: programs  ## Show the main job, live, on a cluster of its own
	$(BIN)/cvstate demo

test: lint programs  ## Everything: lint, unit, integration, fault and end-to-end tests
	$(BIN)/python -m pytest tests/unit -n auto -q
	$(BIN)/python -m pytest --ignore tests/unit -m "not long" -n 3 --dist loadfile -q

test-unit: setup  ## Tests that need no cluster; three or four minutes
	$(BIN)/python -m pytest tests/unit tests/cluster_test -m "not integration" -q

test-long: programs  ## What `make test` leaves out to end in time: failovers, the load of shards, mutated alert rules, the benchmark's own end; about six minutes
	$(BIN)/python -m pytest -m long -n 2 --dist loadfile -q

runbooks: programs  ## Follow every runbook: make its fault, see the alert, mend it by the page; about ten minutes
	CVSTATE_RUNBOOKS=1 $(BIN)/python -m pytest tests/e2e/test_runbooks.py -n 0 -q

new-user: programs  ## Follow the quick start word for word: install, drift, release, dashboards, an alert, a replica killed; about three minutes
	$(BIN)/python -m pytest tests/e2e/test_new_user.py -n 0 -q -s

image-steps: programs  ## Carry out every step of the Dockerfile without a container engine, as root; ten minutes and more, most of it compiling Go
	CVSTATE_IMAGE_BUILD=1 $(BIN)/python -m pytest tests/e2e/test_image_build.py -n 0 -q

nightly: programs  ## What takes hours: every write killed, a million prune states, fifty seeds of every fault, 200 failovers, 1,000 ClusterStates divided, Flux itself, the Dockerfile's steps
	CVSTATE_PRUNE_STATES=1000000 CVSTATE_WORLDS=20000 CVSTATE_EXCHANGE_SEEDS=2000 CVSTATE_SWEEP=all CVSTATE_FAULT_SEEDS=50 CVSTATE_FAILOVERS=200 \
		$(BIN)/python -m pytest tests/unit/plan/test_prune_model.py tests/unit/plan/test_membership.py tests/unit/reconcile/test_exchange_worlds.py tests/faults
	$(BIN)/python -m pytest -m long --ignore tests/faults --ignore tests/integration/test_shard_load.py -n 2 --dist loadfile
	CVSTATE_SHARD_UNITS=1000 $(BIN)/python -m pytest tests/integration/test_shard_load.py -n 0
	$(BIN)/python -m tests.cluster build kustomize-controller
	$(BIN)/python -m pytest tests/integration/test_migrate_from_flux.py
	CVSTATE_IMAGE_BUILD=1 $(BIN)/python -m pytest tests/e2e/test_image_build.py -n 0

bench: programs  ## Measure every goal against Flux and the lower bound, and write docs/benchmark.md; about four hours (docs/benchmarking.md)
	$(BIN)/python -m bench all --runs 5

lint: setup  ## ruff, mypy --strict, layer contracts
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/ruff format --check --quiet $(RUFF_PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup  ## Let ruff format and mend what it can
	$(BIN)/ruff check --fix $(RUFF_PATHS)
	$(BIN)/ruff format $(RUFF_PATHS)

crds: setup  ## Write the CRDs from the models
	for kind in $(KINDS); do $(BIN)/python -m cvstate_operator.api.crd $$kind > crds/$$kind.cvstate.io.yaml || exit 1; done
	$(BIN)/python deploy/charts.py

docs: setup  ## Write docs/metrics.md from the metrics
	$(BIN)/python -m cvstate_operator.telemetry.reference > docs/metrics.md

dashboards: setup  ## Write the Grafana dashboards of the chart
	$(BIN)/python deploy/monitoring/dashboards.py

dashboard-pictures: programs  ## Draw the dashboards into docs/pictures, with Chromium; about seven minutes
	$(BIN)/python -m tests.e2e.dashboard_pictures docs/pictures

alerts: programs  ## Check the rules for Prometheus, and run their tests
	$$($(BIN)/python -m tests.cluster path promtool) check rules --lint=all --lint-fatal deploy/charts/cvstate-operator/rules/*.yaml
	$$($(BIN)/python -m tests.cluster path promtool) test rules deploy/monitoring/tests/*.yaml

charts: setup  ## Write the charts' copies of the CRDs and their tables of values
	$(BIN)/python deploy/charts.py

install-manifest: charts  ## Write deploy/install.yaml from the charts
	$(BIN)/python -m tests.cluster build helm
	$(BIN)/python deploy/charts.py manifest $$($(BIN)/python -m tests.cluster path helm) > deploy/install.yaml.new && mv deploy/install.yaml.new deploy/install.yaml

schemas: programs  ## Write the built-in schemas from a real API server
	$(BIN)/python -m tests.cluster up --quiet --name schemas
	$$($(BIN)/python -m tests.cluster path kubectl) --kubeconfig $$($(BIN)/python -m tests.cluster kubeconfig --name schemas) get --raw /openapi/v2 \
	  | $(BIN)/python -m cvstate_operator.schema.builtin > $(SCHEMAS).new && mv $(SCHEMAS).new $(SCHEMAS); \
	  result=$$?; rm -f $(SCHEMAS).new; $(BIN)/python -m tests.cluster down --name schemas; exit $$result

requirements:  ## Pin dependencies anew (needs uv)
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/runtime.txt
	uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt

clean:  ## Remove .venv and caches of the checkout; built programs stay in the user cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
