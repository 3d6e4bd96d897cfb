# Every target sets up what it needs in .venv inside this folder. Needed on the machine: Python 3.11,
# make and git.
#
#   make demo        a talking head in out/demo/, without PyTorch
#   make test        lint, format, types, tests
#   make test-gui    the artist's day in a real Blender window; root or a container
#   make extension   dist/furrow-<version>-<platform>.zip
#   make bench       out/bench.json and a table
#   make train-env   adds PyTorch and what training and evaluation need, pretrained networks included
#
# PYTHON          the Python 3.11 to make the environments with
# PIP_TORCH_ARGS  options of pip for PyTorch. Plain pip brings the CUDA build and some gigabytes; for
#                 the CPU build give the index that PyTorch names for it: PIP_TORCH_ARGS="--index-url URL"

PYTHON ?= python3.11
PIP_TORCH_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH := torch==2.13.0

RUNTIME := .venv/.runtime
TRAIN := .venv/.train
DEV := .venv/.dev
BPY50 := .venv-bpy50/.installed
MOONSHINE := assets/speech/moonshine_encoder.ort
PERCEPTUAL := out/perceptual/vgg16.safetensors

.PHONY: demo test check lint types test-gui extension bench train-env docs clean
.DELETE_ON_ERROR:

demo: $(RUNTIME) $(MOONSHINE)
	$(BIN)/python tools/demo.py

# The environments are made side by side: one downloads while the other unpacks.
test:
	@$(MAKE) --no-print-directory --jobs=2 $(DEV) $(BPY50) $(MOONSHINE) $(PERCEPTUAL)
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -q

check: lint types

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy finds the rooms as furrow.addon, furrow.backend ... through a link of that name.
types: $(DEV)
	@mkdir -p .cache/types && ln -sfn ../.. .cache/types/furrow
	MYPYPATH=.cache/types $(BIN)/mypy -p furrow.addon -p furrow.backend -p furrow.commands -p furrow.training -m furrow.__main__

test-gui: extension
	$(BIN)/python tests/gui/artist_day.py

extension: $(RUNTIME) $(MOONSHINE)
	$(BIN)/python tools/extension.py

bench: $(RUNTIME) $(MOONSHINE)
	@mkdir -p out
	$(BIN)/furrow bench --json out/bench.json

train-env: $(TRAIN) $(PERCEPTUAL)

clean:
	rm -rf out dist build .cache .pytest_cache .mypy_cache .ruff_cache furrow.egg-info

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Furrow needs Python 3.11; name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The stamps depend on pyproject.toml, so that a changed pin reaches an existing environment.
$(RUNTIME): pyproject.toml setup.py | .venv/bin/python
	$(PIP) install -e ".[runtime,blender]"
	@touch $@

$(TRAIN): $(RUNTIME)
	$(PIP) install $(PIP_TORCH_ARGS) "$(TORCH)"
	$(PIP) install -e ".[runtime,blender,train]"
	@touch $@

$(DEV): $(TRAIN)
	$(PIP) install -e ".[runtime,blender,train,video,dev]"
	@touch $@

$(BPY50): Makefile
	$(PYTHON) -m venv .venv-bpy50
	.venv-bpy50/bin/python -m pip --disable-pip-version-check --quiet install bpy==5.0.1
	@touch $@

$(MOONSHINE): | $(RUNTIME)
	$(BIN)/python -m furrow.backend.speech.moonshine

# What LPIPS and the Frechet distance look through; written last, after AlexNet's.
$(PERCEPTUAL): | $(TRAIN)
	$(BIN)/python -m furrow.training.networks.pretrained
