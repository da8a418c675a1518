# make demo, make test, make test-integrations, make check, make page, make bench, make bench-integrations, make regret, make verdicts, make pictures, make tutorial, make clean: each installs what it needs first, Python's into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := bin/pip install --quiet --disable-pip-version-check -c constraints.txt
PIP := .venv/$(INSTALL)
export OMP_NUM_THREADS ?= 1
# Where Node 20 or newer is; only those who change the lab's page need it.
NPM := $(shell node -e 'process.exit(+(parseInt(process.versions.node) < 20))' 2>/dev/null && command -v npm)
PAGE := src/surefoot/lab/page

.PHONY: demo test test-integrations test-page quick check check-page page chromium bench bench-integrations regret verdicts pictures tutorial clean

demo: .venv/.installed
	$(BIN)/python examples/demo.py

test: .venv/.tested chromium test-page
	$(BIN)/python -m pytest -n 2

# Against the real frameworks, each as its users install it. TensorFlow has an environment of its own, and JAX, which forbids forking, processes of its own.
FRAMEWORKS := SUREFOOT_FRAMEWORKS="lightning transformers accelerate fastai keras jax ray tensorboard wandb mlflow" .venv-frameworks/bin/python -m pytest -n 2
TENSORFLOW := SUREFOOT_FRAMEWORKS="keras tensorflow" .venv-tensorflow/bin/python -m pytest -n 2

test-integrations: .venv-frameworks/.installed .venv-tensorflow/.installed
	$(FRAMEWORKS) tests/integrations src/surefoot/integrations --ignore-glob='*keras*' --ignore=tests/integrations/gradients
	KERAS_BACKEND=torch $(FRAMEWORKS) tests/integrations/keras src/surefoot/integrations/keras*.py
	KERAS_BACKEND=jax $(FRAMEWORKS) tests/integrations/keras tests/integrations/gradients
	KERAS_BACKEND=tensorflow $(TENSORFLOW) tests/integrations/keras tests/integrations/gradients src/surefoot/integrations/keras*.py

quick: .venv/.tested
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: .venv/.tested check-page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chromium:
	@.ci/chromium

# The lab's page is made from frontend/ and committed, so that nobody needs Node to use it.
ifneq ($(NPM),)
page: frontend/node_modules/.package-lock.json
	cd frontend && npm run --silent build

test-page: frontend/node_modules/.package-lock.json
	cd frontend && npm run --silent check
	cd frontend && npm run --silent test

check-page: frontend/node_modules/.package-lock.json
	rm -rf build/page && mkdir -p build && cp -r $(PAGE) build/page
	cd frontend && npm run --silent build
	diff -rq build/page $(PAGE) || { echo "$(PAGE) was not what frontend/ makes: it has been made anew (make page), commit it."; exit 1; }

frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	touch $@
else
page test-page check-page:
	@echo "No Node 20 or newer: the lab's page is taken as it is committed ($@ left out)."
endif

bench: .venv/.benched .venv/.tested chromium
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/population.py
	$(BIN)/python benchmarks/landscape.py
	$(BIN)/python benchmarks/watch.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/batch_fits.py
	$(BIN)/python benchmarks/lab.py

# What the callbacks cost in every framework, and what a second worker of a Ray brings.
bench-integrations: .venv-frameworks/.installed .venv-tensorflow/.installed
	.venv-frameworks/bin/python benchmarks/callbacks.py
	.venv-frameworks/bin/python benchmarks/callbacks_hf.py
	.venv-frameworks/bin/python benchmarks/callbacks_keras.py
	.venv-tensorflow/bin/python benchmarks/callbacks_keras.py
	.venv-frameworks/bin/python benchmarks/cluster.py

# The other packages' answers are on file; REGRET="--peers" runs them again, REGRET="--truth" makes the dense grids anew.
regret: $(if $(findstring --peers,$(REGRET)),.venv/.benched,.venv/.installed)
	$(BIN)/python benchmarks/regret.py $(REGRET)

# How often a diagnosis is right, into docs/verdicts.md; VERDICTS="--only digits --wrong" looks at some, VERDICTS="--truth" makes the labels anew.
verdicts: .venv/.installed
	$(BIN)/python benchmarks/verdicts.py $(VERDICTS)

# Every picture of README and docs.
pictures: .venv/.tested chromium
	$(BIN)/python examples/demo.py
	cp out/line.png out/rate.png out/rates.png docs/pictures/
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/lab_picture.py

# The notebooks of docs/tutorial are made from the Python files beside them: edit those.
tutorial: .venv/.documented
	$(BIN)/python docs/tutorial/execute.py

clean:
	rm -rf .venv .venv-frameworks .venv-tensorflow frontend/node_modules out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "surefoot needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e .
	touch $@

.venv/.tested: .venv/.installed
	$(PIP) -e '.[dev,notebook-test]'
	touch $@

# The peers ask for torchvision, which the registries only have as a CUDA build that does not load beside a CPU build of torch.
.venv/.benched: .venv/.installed
	$(PIP) -e '.[bench]'
	$(BIN)/python -c 'import torchvision' 2>/dev/null || $(BIN)/pip uninstall --quiet -y torchvision
	touch $@

# fastai asks for torchvision: see above.
.venv-frameworks/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/$(INSTALL) -e '.[frameworks-test]'
	.venv-frameworks/bin/python -c 'import torchvision' 2>/dev/null || .venv-frameworks/bin/pip uninstall --quiet -y torchvision
	touch $@

.venv-tensorflow/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-tensorflow
	.venv-tensorflow/$(INSTALL) -e '.[tensorflow-test]'
	touch $@

.venv/.documented: .venv/.installed
	$(PIP) -e '.[docs]'
	touch $@
