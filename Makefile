# make demo    a mesh on this machine speaks a sentence and understands it again
# make test    every correctness test, its floors side by side: ten minutes on two cores
# Both set everything up first, in .venv, from nothing but an installed Python 3.11 to 3.14.

TEXT ?=
TESTS ?=
VENV := .venv
# What no wheel is there for is built from source, where tests/python.sh found that it can be.
BUILT := 'pocketsphinx >=5.1,<5.2; python_version >= "3.14"'
PY := $(VENV)/bin/python
DEMO := $(VENV)/.demo-ready
DEV := $(VENV)/.dev-ready

.PHONY: help demo run test test-pythons coverage soak lint lock release bench clean
help:
	@sed -n 's/^# //p' Makefile
	@echo 'make run     the same mesh, left running until Ctrl-C'
	@echo 'make test-pythons   the unit, engine and program tests on every supported Python found here'
	@echo 'make coverage   how much of each module the tests run'
	@echo 'make soak    the full counts (three hours)'
	@echo 'make lint    format, lint, types, import floors, known holes in dependencies'
	@echo 'make lock    pin what the image installs, with hashes (deploy/requirements)'
	@echo 'make release   build and check what could be published, and tag it'
	@echo 'make bench   what is measured, against what'
	@echo 'make clean   forget the virtual environment'

$(PY):
	@sh tests/python.sh $(VENV)

$(DEMO): $(PY) setup.cfg pyproject.toml
	@echo 'installing privox_dht and the embedded engines into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[embedded]' $(BUILT)
	@touch $@

$(DEV): $(PY) setup.cfg pyproject.toml
	@echo 'installing privox_dht, every engine and the test tools into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]' $(BUILT)
	@touch $@ $(DEMO)

demo: $(DEMO)
	@$(PY) -m nodes.demo $(if $(TEXT),"$(TEXT)")

run: $(DEMO)
	@$(PY) -m nodes.demo --stay $(if $(TEXT),"$(TEXT)")

lint: $(DEV)
	@$(PY) tests/check.py lint

test: $(DEV)
	@$(PY) tests/check.py test

test-pythons: $(DEV)
	@$(PY) tests/pythons.py

coverage: $(DEV)
	@$(PY) tests/covered.py $(TESTS)

soak: $(DEV)
	@$(PY) tests/check.py soak

lock: $(DEV)
	@$(PY) -m pip install --quiet --disable-pip-version-check 'uv >=0.8,<0.14'
	@PATH=$(VENV)/bin:$$PATH $(PY) deploy/lock.py

release: $(DEV)
	@$(PY) -m pip install --quiet --disable-pip-version-check 'build >=1.2,<2' 'twine >=6,<7'
	@$(PY) deploy/release.py

bench: $(DEV)
	@$(PY) -m bench

clean:
	rm -rf $(VENV) .venv-pythons
