# Every target sets up what it needs in .venv inside this folder. Needed on the machine: Python 3.11,
# make and git.
#
#   make demo        a talking head in out/demo/, without PyTorch
#   make test        lint, format, types, tests
#   make test-gui    the artist's day in a real Blender window; root or a container
#   make extension   dist/furrow-<version>-<platform>.zip
#   make bench       out/bench.json and a table
#   make train-env   adds PyTorch and what training and evaluation need, pretrained networks included
#   make peers       adds PyTorch and OpenVINO, which make bench then compares with
#   make lock        requirements.lock anew, after a change of pins in pyproject.toml
#   make docs        drawings and tables in docs/ that come from the sources
#   make docs-pictures, make docs-renders    the other pictures: half an hour; hours, and a window
#
# PYTHON          the Python 3.11 to make the environments with
# PIP_TORCH_ARGS  options of pip for PyTorch. Plain pip brings the CUDA build and some gigabytes; for
#                 the CPU build give the index that PyTorch names for it: PIP_TORCH_ARGS="--index-url URL"

PYTHON ?= python3.11
PIP_TORCH_ARGS ?=
UPGRADE ?=

BIN := .venv/bin
# Modules are compiled when they are first imported: most never are, and that halves the set-up.
INSTALL := -m pip --disable-pip-version-check --quiet install --no-compile
TORCH := torch==2.13.0

# $(call install,FOLDER,ENVIRONMENT): what requirements.lock names for it, each file by its hash.
define install
$(1)/bin/python tools/lock.py $(2) > $(1)/$(2).txt
$(1)/bin/python $(INSTALL) --no-deps --require-hashes --requirement $(1)/$(2).txt
endef

RUNTIME := .venv/.runtime
TRAIN := .venv/.train
DEV := .venv/.dev
PEERS := .venv/.peers
BPY42 := .venv-bpy42/.installed
BPY50 := .venv-bpy50/.installed
MOONSHINE := assets/speech/moonshine_encoder.ort
PERCEPTUAL := out/perceptual/vgg16.safetensors

.PHONY: demo test check lint types test-gui extension bench train-env peers lock \
	docs docs-pictures docs-renders clean
.DELETE_ON_ERROR:

demo: $(RUNTIME) $(MOONSHINE)
	$(BIN)/python tools/demo.py

# The environments are made side by side: one downloads while the other unpacks.
test:
	@$(MAKE) --no-print-directory --jobs=2 $(DEV) $(BPY42) $(BPY50) $(MOONSHINE) $(PERCEPTUAL)
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -q

check: lint types

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy finds the rooms as furrow.addon, furrow.backend ... through a link of that name.
types: $(DEV)
	@mkdir -p .cache/types && ln -sfn ../.. .cache/types/furrow
	MYPYPATH=.cache/types:tools:tests/gui $(BIN)/mypy tools tests
	MYPYPATH=.cache/types $(BIN)/mypy -p furrow.addon -p furrow.backend -p furrow.commands -p furrow.training -m furrow.__main__

test-gui: extension
	$(BIN)/python tests/gui/artist_day.py

extension: $(RUNTIME) $(MOONSHINE)
	$(BIN)/python tools/extension.py

bench: $(RUNTIME) $(MOONSHINE)
	@mkdir -p out
	$(BIN)/furrow bench --json out/bench.json

train-env: $(TRAIN) $(MOONSHINE) $(PERCEPTUAL)

peers: $(PEERS)

docs: $(TRAIN)
	$(BIN)/python tools/architecture.py
	$(BIN)/python tools/bench_tables.py docs/bench.json

# detail-curves.png and gan-64.png are not here: training leaves them, as curves.png and preview.png.
docs-pictures: docs train-env
	$(BIN)/furrow evaluate corpus --picture docs/pictures/corpus.png --muscles docs/pictures/muscles.png
	$(BIN)/furrow evaluate encoder --picture docs/pictures/detail.png
	$(BIN)/furrow evaluate space --pictures docs/pictures --pictures-only
	$(BIN)/python tools/portable_pictures.py
	$(BIN)/python tools/demo.py --guide

# Cycles renders many heads; then a real window, as make test-gui opens it.
docs-renders: $(DEV) train-env extension
	$(BIN)/python tools/closeups.py
	$(BIN)/python tools/closeups.py --strip
	$(BIN)/python tools/comparison.py
	$(BIN)/python tools/speech_film.py
	$(BIN)/python tools/slider_film.py
	$(BIN)/python tests/gui/artist_day.py --guide

# Needed after a change of pins in pyproject.toml. What is locked stays where it fits; with
# UPGRADE=--upgrade everything becomes as new as the pins admit.
lock:
	$(PYTHON) -m venv .cache/lock
	$(call install,.cache/lock,lock)
	.cache/lock/bin/python tools/lock.py $(UPGRADE)

clean:
	rm -rf out dist build .cache .pytest_cache .mypy_cache .ruff_cache furrow.egg-info

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Furrow needs Python 3.11; name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The stamps depend on the lock, so that a changed pin reaches an existing environment.
$(RUNTIME): requirements.lock pyproject.toml setup.py | .venv/bin/python
	$(call install,.venv,runtime)
	$(BIN)/python $(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# PyTorch is not locked: each of its builds has hashes of its own, and any build will do.
$(TRAIN): $(RUNTIME)
	$(call install,.venv,train)
	$(BIN)/python $(INSTALL) $(PIP_TORCH_ARGS) "$(TORCH)"
	@touch $@

$(DEV): $(TRAIN)
	$(call install,.venv,dev)
	@touch $@

$(PEERS): $(TRAIN)
	$(call install,.venv,peers)
	@touch $@

$(BPY42) $(BPY50): .venv-%/.installed: requirements.lock
	$(PYTHON) -m venv .venv-$*
	$(call install,.venv-$*,$*)
	@touch $@

$(MOONSHINE): | $(RUNTIME)
	$(BIN)/python -m furrow.backend.speech.moonshine

# What LPIPS and the Frechet distance look through; written last, after AlexNet's.
$(PERCEPTUAL): | $(TRAIN)
	$(BIN)/python -m furrow.training.networks.pretrained
