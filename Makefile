# Twinboot. `make` alone lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
SYSTEMS := bios uefi
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEBS := python3-venv python3-dev gcc pkg-config libparted-dev libvirt-dev shellcheck \
        sudo mmdebstrap debootstrap squashfs-tools xorriso fdisk gdisk kpartx mtools dosfstools e2fsprogs parted \
        grub-common grub-pc-bin grub-efi-amd64-bin lvm2 thin-provisioning-tools cryptsetup-bin \
        qemu-system-x86 qemu-utils ovmf ipxe-qemu apt-utils dpkg-dev cpio zstd xz-utils tmux \
        systemd-container openssh-client btrfs-progs xfsprogs tinyproxy-bin qemu-guest-agent curl

.PHONY: help deps check test test-full image fast-image lab-systems demo console bench clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what the other targets need (Debian or Ubuntu; says what first)
	@missing=$$(for p in $(DEBS); do dpkg-query -W -f='$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q ^ii || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "Installing with apt-get:" $$missing; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
	@if ! cmp -s pyproject.toml .venv/.installed-from; then \
	  echo "Installing Python packages into .venv (pyproject.toml says which and why)"; \
	  python3 -m venv .venv && $(PY) -m pip install -q -e '.[dev,appliance,image]' && cp pyproject.toml .venv/.installed-from; fi

check: deps ## the three-minute loop: lint, types, imports, unit, crash and console tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	git ls-files -z 'appliance/*.sh' | xargs -0 -r shellcheck -s sh -S warning
	$(PY) -m pytest -q -n 3 --dist loadfile --durations=12 -m 'not lab and not full and not root' tests

image: deps ## build dist/twinboot.img (USB), dist/twinboot.iso (virtual media) and dist/pxe/
	$(PY) -m appliance.image build

test: deps ## all tests of a submission: check, then image and machines (25 to 60 minutes emulated)
	$(MAKE) --no-print-directory check
	$(MAKE) --no-print-directory -j2 --output-sync=line fast-image lab-systems
	$(PY) -m pytest -q -n 2 --dist loadfile --durations=12 --no-loadscope-reorder -m '(lab or root) and not full' tests

test-full: deps ## every scenario, hours; SHARD=2/4 is the second of four parts
	$(MAKE) --no-print-directory check
	$(MAKE) --no-print-directory -j2 --output-sync=line fast-image lab-systems
	$(PY) -m pytest -q -n 2 --dist loadfile --durations=12 --no-loadscope-reorder -m 'lab or root or full' $(if $(SHARD),--shard $(SHARD)) tests

demo: deps ## build everything and watch a machine go once round
	$(MAKE) --no-print-directory -j2 --output-sync=line fast-image lab-systems SYSTEMS=bios
	$(PY) -m tests.lab demo

fast-image:
	$(PY) -m appliance.image build --fast

lab-systems:
	$(PY) -m tests.lab build $(SYSTEMS)

console: ## the console without hardware, no root: MACHINE=name, or RUN=file of a recorded run; PACE=n STATE= ENDING= ERROR=
	@$(PY) -c 'import textual, msgspec, pyte, jinja2' 2>/dev/null || { echo "Installing Python packages into .venv"; \
	  python3 -m venv .venv && $(PY) -m pip install -q -e .; }
	@$(PY) -m tests.tui.play $(if $(RUN),--run '$(RUN)') $(if $(PACE),--pace $(PACE)) $(if $(STATE),--state $(STATE)) \
	  $(if $(ENDING),--ending $(ENDING)) $(if $(ERROR),--error $(ERROR)) $(MACHINE)

bench: deps ## times and sizes beside a rival's, measured in one run (an hour emulated)
	$(PY) -m appliance.image build
	$(PY) -m tests.lab bench

clean: ## remove what was built here (the cache in ~/.cache stays)
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache
