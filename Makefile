# make demo       segment the sample image, save the labels and a picture, open napari if it can
# make test       run every test, on a virtual screen where there is no other
# make lint       ruff, mypy, import contracts
# make benchmark  time what users wait for
# make model      train nuclei-2d again on the images in DATA; goes on where it was stopped
# make model-3d   draw stacks into STACKS and train nuclei-3d again on them; goes on likewise
#
# All of it lives in .venv, made on first use with the versions in constraints.txt.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := demo

# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
    "$$p" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
    && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
TEST_SECONDS ?= 3000

# Qt and OpenGL on a bare Debian or Ubuntu.
SYSTEM := xvfb libgl1 libegl1 libopengl0 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 \
    libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-xinerama0 \
    libxcb-shape0 libdbus-1-3 libglib2.0-0

# Images of the Data Science Bowl 2018, sorted into train and val, fluorescence and tissue.
DATA ?= ../shared/data/nuclei2d
RUN ?= runs/nuclei-2d
STACKS ?= runs/stacks
RUN_3D ?= runs/nuclei-3d

.PHONY: demo test lint benchmark model model-3d system constraints clean

demo: $(VENV)/.gui
	$(BIN)/napari-monai demo --output demo_output

test: system $(VENV)/.dev
	export NAPARI_CONFIG=; \
	run=(); \
	if command -v timeout >/dev/null; then run+=(timeout -k 30 $(TEST_SECONDS)); fi; \
	if command -v xvfb-run >/dev/null; then run+=(xvfb-run -a); fi; \
	"$${run[@]}" $(BIN)/python -m pytest -n auto </dev/null

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(VENV)/.dev
	export NAPARI_CONFIG=; \
	run=(); \
	if [[ -z "$${DISPLAY-}" ]] && command -v xvfb-run >/dev/null; then run=(xvfb-run -a); fi; \
	$(BIN)/python tests/benchmarks/benchmark.py --output benchmark_output; \
	$(BIN)/python tests/benchmarks/io.py; \
	"$${run[@]}" $(BIN)/python tests/benchmarks/segment_widget_opening.py

# First at the images' own size, then half as large again, where small nuclei have more voxels, and
# at last with more weight where nuclei touch.
train_nuclei = $(BIN)/napari-monai train --name nuclei-2d \
    --images $(DATA)/train/fluorescence/images $(DATA)/train/tissue/images \
    --labels $(DATA)/train/fluorescence/labels $(DATA)/train/tissue/labels \
    --val-images $(DATA)/val/fluorescence/images $(DATA)/val/tissue/images \
    --val-labels $(DATA)/val/fluorescence/labels $(DATA)/val/tissue/labels \
    --card src/napari_monai/models/shipped/nuclei-2d/card.json \
    --output $(1) $(if $(wildcard $(1)/checkpoint.pt),--resume)

model: $(VENV)/.dev
	$(call train_nuclei,$(RUN)/first) --steps 8000
	$(call train_nuclei,$(RUN)/zoomed) --from $(RUN)/first/model \
	    --zoom 1.5 --steps 3000 --validate-every 1000 --learning-rate 1e-3 --scale 1.2 --calm 1
	$(call train_nuclei,$(RUN)/longer) --from $(RUN)/zoomed/model \
	    --zoom 1.5 --steps 7000 --validate-every 1750 --learning-rate 1.5e-3 --scale 1.25 --calm 1
	$(call train_nuclei,$(RUN)/touching) --from $(RUN)/longer/model --touching-weight 6 \
	    --zoom 1.5 --steps 3000 --validate-every 1500 --learning-rate 1e-3 --scale 1.25 --calm 1

# At one spacing in µm, so that nuclei of any stack have the size that was trained on.
model-3d: $(VENV)/.dev $(STACKS)/.drawn
	$(BIN)/napari-monai train --name nuclei-3d --target instances \
	    --images $(STACKS)/train/images --labels $(STACKS)/train/labels \
	    --val-images $(STACKS)/val/images --val-labels $(STACKS)/val/labels \
	    --card src/napari_monai/models/shipped/nuclei-3d/card.json \
	    --spacing 0.8,0.4,0.4 --patch 24,72,72 --batch-size 4 --steps 3100 --validate-every 600 \
	    --network-arguments '{"channels": [32, 64, 96, 128], "strides": [[1, 2, 2], 2, 2], "norm": "batch"}' \
	    --calm 0.25 --touching-weight 3 \
	    --output $(RUN_3D) $(if $(wildcard $(RUN_3D)/checkpoint.pt),--resume)

# 360 stacks to train on, and 16 smaller ones on which the state and the decoding are chosen.
$(STACKS)/.drawn: | $(VENV)/.dev
	$(BIN)/python sample_data/stacks.py --count 360 --output $(STACKS)/train
	$(BIN)/python sample_data/stacks.py --count 16 --seed 100000 --size 26 42 42 \
	    --output $(STACKS)/val
	touch $@

# Install the system libraries where that is possible; elsewhere say what to do.
system:
	command -v dpkg-query >/dev/null || exit 0; \
	missing=(); \
	for name in $(SYSTEM); do \
	    dpkg-query -W -f='$${Status}' "$$name" 2>/dev/null | grep -q 'ok installed' \
	    || dpkg-query -W -f='$${Status}' "$${name}t64" 2>/dev/null | grep -q 'ok installed' \
	    || missing+=("$$name"); \
	done; \
	if (($${#missing[@]} == 0)); then exit 0; fi; \
	if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	else \
	    echo "Qt may need: sudo apt-get install $${missing[*]}"; \
	fi

# Take the versions that are installed now as those to pin.
constraints: $(VENV)/.dev
	$(PIP) freeze --all --exclude-editable --exclude pip | sed 's/+.*//' | LC_ALL=C sort -f > constraints.txt

clean:
	rm -rf $(VENV) build dist demo_output benchmark_output .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.python:
	[[ -n "$(PYTHON)" ]] || { echo "Python 3.11 or newer, with venv, is needed."; exit 1; }
	[[ -x $(BIN)/python ]] || $(PYTHON) -m venv $(VENV)
	touch $@

# torch first: the largest download, kept when anything after it fails.
$(VENV)/.torch: constraints.txt $(VENV)/.python
	$(PIP) install -q -c constraints.txt torch
	touch $@

$(VENV)/.gui: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e ".[gui]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e ".[gui,dev]"
	touch $@ $(VENV)/.gui
