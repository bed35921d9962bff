# make demo        from training to int8 and an upscaled photograph, in some ten minutes on two cores
# make test        ruff and the tests
# make test-slow   ... and the long tests, some of which want the images and weights in SHARED
# make check-int8  whether int8 still loses no more than it did, on the images and weights in SHARED
# make check-arm   whether int8 files give the same bytes on ARM processors, under QEMU (Debian; downloads 80 MB)
# make check-gpu   what LiteRT's GPU path makes of the files, on Vulkan in software (apt-get install chromium libvulkan1)
# make check-corpora  what commands make of files cut short and with bytes flipped, or of all files in CORPORA=folder
# make check-faults   what survives kills, full disks, vanished folders, lost power, two runs at once
# make check-memory   whether memory stays flat over thousands of images, tiles and calibration images
# make reproduce   trains the networks that ship by their recipes, on the images and weights in SHARED: a day on two cores
#                  or more; stopped, it resumes. ONLY=recipe ...; WORK=folder
# make web         builds the browser page into web/dist and serves it
# make docs        the documents as a site, in site/
# make format      ruff's own fixes and format
# make clean       removes what the other targets made
# All set up .venv first (PYTHON=python3.12 make ... takes another interpreter) and skip what is done.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_ROOT_USER_ACTION ?= ignore

SHARED ?= ../shared
PARALLEL := -n 2 --dist loadfile
# Twice: errors alone are shown
PIP := $(BIN)/python -m pip install --quiet --quiet
INSTALL := $(PIP) --no-build-isolation

.PHONY: demo test test-slow check-int8 check-arm check-gpu check-corpora check-faults check-memory reproduce web docs format clean

demo: .venv/installed
	$(BIN)/python tflite/demo.py

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest $(PARALLEL)

test-slow: .venv/installed
	$(BIN)/pytest $(PARALLEL) -m "slow or not slow"

check-int8: .venv/installed
	$(BIN)/python -m tools.int8_gate $(SHARED)

check-arm: .venv/installed
	$(BIN)/python -m tools.check_arm

check-gpu: .venv/installed
	$(BIN)/python -m tools.check_gpu $(SHARED)/data/benchmark/Set5

check-corpora: .venv/installed
	$(BIN)/python -m tools.check_corpora $(CORPORA)

check-faults: .venv/installed
	$(BIN)/python -m tools.check_faults

check-memory: .venv/installed
	$(BIN)/python -m tools.check_long_life

reproduce: .venv/installed
	$(BIN)/python -m tools.reproduce $(SHARED) $(if $(ONLY),--only $(ONLY)) $(if $(WORK),--work $(WORK))

web: .venv/installed web/node_modules
	$(BIN)/python web/build.py
	$(BIN)/python web/serve.py

web/node_modules: web/package-lock.json
	npm ci --prefix web --no-audit --no-fund
	touch $@

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --requirement requirements.txt
	$(INSTALL) --no-deps --editable .
	touch $@

.venv/docs: .venv/installed
	$(INSTALL) --editable ".[docs]"
	touch $@

clean:
	rm -rf .venv demo site build web/dist web/node_modules .pytest_cache .ruff_cache
