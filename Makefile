# The two commands are `make demo` and `make test`. Each installs what it needs first: Debian
# packages that are missing (as root, or through sudo), and a virtual environment in .venv.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(wildcard *.py */*.[ch] */*/*.[ch] pyvfio_user/*.py pyvfio_user/src/*/*.[ch] pyvfio_user/src/*/include/*/*.h)

# The tests start hundreds of processes, which need not compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# mkdocs-material advertises its successor.
export NO_MKDOCS_2_WARNING = 1

.PHONY: help demo test guests beside check test-pyvfio-user test-without-guests lint docs deb fuzz \
	faults test-long test-kernels bench clean

help:
	@echo "make demo          serve a T6 and a T5, probe, collect, write a vmcore, show it"
	@echo "make test          everything the README promises, a guest's crash kernel included"
	@echo "make check         the fast part: lint, types, unit and socket tests, sanitizers"
	@echo "make docs          the documentation as a site: build/site/index.html"
	@echo "make deb           Debian packages for Debian 12 and 13, in build/deb (as root)"
	@echo "make fuzz          hostile peers, guests, adapters and files (SECONDS=300 SEED=... PART=...)"
	@echo "make faults        what Linux's driver does with each fault: docs/reference/faults.md (an hour)"
	@echo "make test-long     what takes long: every combination, and the guest on newer kernels"
	@echo "make test-kernels  the guest tests on newer kernels"
	@echo "make bench         measure; the plots go to docs/explanation/plots"
	@echo "make clean         remove what was built here (the user's cache stays: vmcoredd cache clear)"

demo: .venv/ready
	$(BIN)/vmcoredd demo

# Guests run on half of the processors: QEMU and the emulator wake each other at each access, which
# takes twice as long from one processor to another if that is not idle. What needs no guest runs
# beside them, where there is room: its scheduling class is "idle", since with a low priority alone
# it gives way only at the next tick. What it prints comes in one piece when it has ended.
test: .venv/ready-test
	@$(MAKE) --no-print-directory --jobs=2 --keep-going guests beside

HALF = import os; cpus = sorted(os.sched_getaffinity(0)); print(*cpus[: (len(cpus) + 1) // 2], sep=",")
guests: .venv/ready-test
	@taskset --cpu-list $$($(BIN)/python -c '$(HALF)') $(BIN)/python -m pytest -m guest tests/interop

beside: .venv/ready-test
	@mkdir -p build
	@echo "beside the guests: all other tests, whose output is in build/beside.log"
	@for part in lint test-pyvfio-user test-without-guests; do \
		chrt --idle 0 $(MAKE) --no-print-directory $$part || failed=1; \
	done >build/beside.log 2>&1; cat build/beside.log; exit $$failed

check: lint test-pyvfio-user
	$(BIN)/python -m pytest -m "not guest and not interop" -n auto --dist loadfile

test-pyvfio-user: .venv/ready-test
	cd pyvfio_user && ../$(BIN)/python -m pytest -n auto --dist loadfile

test-without-guests: .venv/ready-test
	$(BIN)/python -m pytest -m "not guest" -n auto --dist loadfile

lint: .venv/ready-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(filter-out chip/chip.h,$(shell git ls-files '*.c' '*.h'))
	$(BIN)/mypy
	cd pyvfio_user && ../$(BIN)/mypy

docs: .venv/ready-docs
	$(BIN)/python -m mkdocs build --quiet
	@echo "built: build/site/index.html"

deb:
	@$(PYTHON) -m vmcoredd.debs.package build/deb

fuzz: .venv/ready-test
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(PART:%=--part %) $(CASE:%=--case %)

faults: .venv/ready-test
	$(BIN)/python -m tests.faults

test-long: .venv/ready-test test-kernels
	VMCOREDD_THOROUGH=1 $(BIN)/python -m pytest -n auto tests/raised \
		tests/interop/kernel_driver/test_raised.py tests/interop/test_kernel_dump.py \
		tests/interop/test_upstream_cxgb4.py tests/diagnosis
	VMCOREDD_THOROUGH=1 $(BIN)/python -m pytest tests/bench/test_engine.py tests/testing
	VMCOREDD_THOROUGH=1 $(BIN)/python -m pytest tests/interop/test_packaging.py \
		tests/interop/test_debian.py -k debian_13
	VMCOREDD_THOROUGH=1 $(BIN)/python -m pytest tests/interop/test_site.py -k from_nothing
	$(BIN)/python -m tests.fuzz --part containers --seconds 1200
	$(BIN)/python -m tests.fuzz --part engine --seconds 600
	VMCOREDD_THOROUGH=1 $(BIN)/python -m pytest tests/interop/test_guest_diagnose.py \
		tests/interop/test_guest_ethtool.py tests/interop/test_guest_traffic.py \
		tests/interop/test_guest_load.py tests/interop/test_guest_rates.py \
		tests/interop/test_guest_commands.py tests/interop/test_guest_filter_modes.py \
		tests/interop/test_guest_wires.py tests/interop/test_guest_held.py \
		tests/interop/test_guest_run.py tests/interop/test_guest_bench.py \
		tests/interop/test_guest_selftests.py tests/interop/test_guest_unload.py \
		tests/interop/test_guest_bisect.py tests/interop/test_guest_kernel.py \
		tests/interop/test_guest_traces.py tests/interop/test_guest_sweep.py \
		tests/interop/test_guest_plain.py tests/interop/test_guest_real.py \
		tests/interop/test_guest_real_stock.py tests/interop/test_guest_real_noiommu.py \
		tests/interop/test_guest_raised.py \
		tests/interop/test_guest_adapters.py tests/interop/test_guest_offloads.py \
		tests/interop/test_guest_filters.py tests/interop/test_guest_interrupts.py \
		tests/interop/test_upstream_guest.py

test-kernels: .venv/ready-test
	VMCOREDD_GUEST_KERNEL=6.12 VMCOREDD_STOCK_KERNEL=debian:6.1 \
		$(BIN)/python -m pytest -m guest tests/interop
	VMCOREDD_GUEST_KERNEL=newest VMCOREDD_STOCK_KERNEL=debian:newest \
		$(BIN)/python -m pytest -m guest tests/interop

bench: .venv/ready-test
	$(BIN)/vmcoredd bench --output docs/explanation/plots

.venv/pip: pyproject.toml pyvfio_user/pyproject.toml debs/install.py
	@$(PYTHON) -m vmcoredd.debs.install build
	@echo "making a virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "setuptools>=77" "cffi>=1.16"
	@touch $@

.venv/ready: .venv/pip $(SOURCES)
	@echo "building the C cores and installing vmcoredd into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--config-settings editable_mode=compat --editable ./pyvfio_user --editable ".[guest]"
	@touch $@

.venv/ready-docs: .venv/ready
	@echo "installing what the documentation needs into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--config-settings editable_mode=compat --editable ./pyvfio_user --editable ".[docs]"
	@touch $@

.venv/ready-test: .venv/ready
	@$(PYTHON) -m vmcoredd.debs.install test
	@echo "installing what the tests need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--config-settings editable_mode=compat --editable ./pyvfio_user --editable ".[test,guest,bench,docs]"
	@touch $@

clean:
	rm -rf .venv build *.egg-info pyvfio_user/build pyvfio_user/src/*.egg-info
	find . -name '*.so' -not -path './.venv/*' -delete
