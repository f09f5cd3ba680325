# make run | static | test | test-all | test-fast | check | vendor | demo | bench | bench-live | bench-soak | bench-space | attack | canary | lock
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS = -n logical --dist loadfile --no-loadscope-reorder
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c requirements.lock

.PHONY: train-env run static test test-all test-fast check vendor demo bench bench-live bench-soak bench-space attack canary lock clean

run: $(VENV)/run.stamp
	$(BIN)/python app.py

# The page that runs in the browser alone, as `python -m train publish --static-out FOLDER` writes it.
static: $(VENV)/run.stamp
	$(BIN)/python -m tools.static

test: $(VENV)/dev.stamp
	bash tests/install_browsers.sh
	$(BIN)/python -m pytest $(WORKERS) -m "not long"

# All tests: every part of the page, whole trainings, clusters, attacks, an installation. CI runs it.
test-all: $(VENV)/dev.stamp
	bash tests/install_browsers.sh
	$(BIN)/python -m pytest $(WORKERS)

# No TensorFlow, no browser: seconds.
test-fast: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(WORKERS) -m "not keras and not browser and not slow and not long"

check: $(VENV)/dev.stamp
	@rm -f fer/web/*.pyi fer/web/*/*.pyi  # Gradio writes them; they would hide the modules from mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	bash tests/install_browsers.sh node
	@if [ -x node_modules/.bin/prettier ]; then node_modules/.bin/prettier --check .; \
	else echo "The format of JavaScript and CSS is not checked: prettier is missing."; fi

# onnxruntime-web for the browser, at the version and hash in tools/vendor.py.
vendor:
	$(PYTHON) tools/vendor.py

# The animated picture of README, docs/live.webp, from the page as it is now.
demo: $(VENV)/dev.stamp
	bash tests/install_browsers.sh
	$(BIN)/python -m tools.demo

# For `python -m train`, see train/README.md.
train-env: $(VENV)/run.stamp requirements-train.txt
	$(PIP) -r requirements-train.txt

# Frames, videos, folders (compared with PyPI fer, in its own environment): ten minutes.
bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench
	$(BIN)/python -m bench.video
	$(BIN)/python -m bench.folder
	$(BIN)/python -m bench.detect

# One visitor in Chromium, compared with Gradio's own streaming, and first visits: three minutes.
bench-live: $(VENV)/dev.stamp
	bash tests/install_browsers.sh
	$(BIN)/python -m bench.live
	$(BIN)/python -m bench.first_visit

# Eight visitors at once: 35 minutes.
bench-soak: $(VENV)/dev.stamp
	$(BIN)/python -m bench.soak

# The Space as the Hub builds it: size, installation, start; three minutes.
bench-space: $(VENV)/dev.stamp
	$(BIN)/python -m bench.space

# A local page under attack while a visitor streams: nine minutes.
attack: $(VENV)/dev.stamp
	$(BIN)/python -m bench.attack --results results

# All tests with the newest version of every pinned package, in their own environment; what breaks
# here will break for users: half an hour. make canary TESTS="-m 'not browser'"
canary:
	bash tests/install_browsers.sh
	$(PYTHON) tests/canary.py $(TESTS)

# Exact versions of all packages, for every platform, from the pins of requirements-dev.txt.
lock: $(VENV)/dev.stamp
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		--output-file requirements.lock requirements-dev.txt

$(VENV)/python.stamp:
	@$(PYTHON) -c "import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, found ' + v + '. Try: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp requirements.txt requirements.lock
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-train.txt requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV)
