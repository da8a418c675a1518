# make demo, make test, make check, make bench, make regret, make verdicts, make pictures, make tutorial, make clean: each installs what it needs into .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test quick check bench regret verdicts pictures tutorial clean

demo: .venv/.installed
	$(BIN)/python examples/demo.py

test: .venv/.tested
	$(BIN)/python -m pytest -n 2

quick: .venv/.tested
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.benched
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/population.py
	$(BIN)/python benchmarks/landscape.py
	$(BIN)/python benchmarks/watch.py
	$(BIN)/python benchmarks/train.py

# The other packages' answers are on file; REGRET="--peers" runs them again, REGRET="--truth" makes the dense grids anew.
regret: $(if $(findstring --peers,$(REGRET)),.venv/.benched,.venv/.installed)
	$(BIN)/python benchmarks/regret.py $(REGRET)

# How often a diagnosis is right, into docs/verdicts.md; VERDICTS="--only digits --wrong" looks at some, VERDICTS="--truth" makes the labels anew.
verdicts: .venv/.installed
	$(BIN)/python benchmarks/verdicts.py $(VERDICTS)

# Every picture of README and docs.
pictures: .venv/.installed
	$(BIN)/python examples/demo.py
	cp out/line.png out/rate.png out/rates.png docs/pictures/
	$(BIN)/python docs/pictures.py

# The notebooks of docs/tutorial are made from the Python files beside them: edit those.
tutorial: .venv/.documented
	$(BIN)/python docs/tutorial/execute.py

clean:
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "surefoot needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e .
	touch $@

.venv/.tested: .venv/.installed
	$(PIP) -e '.[dev]'
	touch $@

# The peers ask for torchvision, which the registries only have as a CUDA build that does not load beside a CPU build of torch.
.venv/.benched: .venv/.installed
	$(PIP) -e '.[bench]'
	$(BIN)/python -c 'import torchvision' 2>/dev/null || $(BIN)/pip uninstall --quiet -y torchvision
	touch $@

.venv/.documented: .venv/.installed
	$(PIP) -e '.[docs]'
	touch $@
