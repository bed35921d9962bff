# make demo   the main job, from training to int8, in some ten minutes on two cores
# make test   ruff and the tests; make test-slow adds the long ones, which want ../shared
# make reproduce  trains the weights of keras_rfdn/weights/ again, from the images in DATA; some hours, resumes itself
# make check-int8  whether int8 still loses no more than it did, on ../shared
# All set up .venv first (PYTHON=python3.12 make ... takes another interpreter) and skip what is done.

PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

SHARED ?= ../shared
# To train on DIV2K instead: make reproduce DATA=div2k VALID=
DATA ?= $(SHARED)/data/train
VALID ?= $(SHARED)/data/valid/DIV2K100_crops
# In the order in which one starts from another's weights.
SHIPPED := e-rfdn-x4 e-rfdn-x3 e-rfdn-x2 rfdn-mobile-x4 rfdn-mobile-x2 rfdn-x4
PARALLEL := -n 2 --dist loadfile

.PHONY: demo test test-slow reproduce check-int8 format clean

demo: .venv/installed
	$(BIN)/python tflite/demo.py

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest $(PARALLEL)

test-slow: .venv/installed
	$(BIN)/pytest $(PARALLEL) -m "slow or not slow"

# oneDNN takes a third off an update on processors for which TensorFlow leaves it off.
reproduce: .venv/installed
	for name in $(SHIPPED); do \
	    TF_ENABLE_ONEDNN_OPTS=1 $(BIN)/python -m keras_rfdn.train --recipe shipped-$$name --data $(DATA) \
	        $(if $(VALID),--valid $(VALID) --valid_images 20) --validate_every 500 --seed 1 || exit 1; \
	done

# What int8 may lose, on the weights and images in SHARED.
check-int8: .venv/installed
	$(BIN)/python -m tools.int8_gate $(SHARED)

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf .venv demo .pytest_cache .ruff_cache
