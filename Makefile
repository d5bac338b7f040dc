# Every command a developer types. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build setup setup-test run test unit mpi readme slurm threads test-long bench bench-peers bench-plan fmt lint doc portable check ci clean help

# One target folder for every profile and feature set, so that nothing is compiled twice.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# A Rust installed a minute ago is found in the shell that installed it.
export PATH := $(PATH):$(HOME)/.cargo/bin
# More ranks than cores is what most of these targets do: allow it, for Open MPI 4 and 5; and mpirun as root where we are root.
export OMPI_MCA_rmaps_base_oversubscribe := 1
export PRTE_MCA_rmaps_default_mapping_policy := :oversubscribe
ifeq ($(shell id -u),0)
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
endif

CARGO_TEST := cargo test --locked --quiet

build: setup              ## the release binary at ./goai-rs (the default)
	cargo build --release --locked --bin goai-rs
	@cmp -s "$(CARGO_TARGET_DIR)/release/goai-rs" goai-rs || { cp "$(CARGO_TARGET_DIR)/release/goai-rs" goai-rs.tmp && mv -f goai-rs.tmp goai-rs; }

setup:                    ## install the system packages that are missing (SKIP_SETUP=1 leaves that to you)
	@[ -n "$${SKIP_SETUP:-}" ] || tools/setup.sh run

run: build                ## train iris on four MPI ranks
	mpirun -n 4 ./goai-rs --mode allreduce

test: setup-test unit mpi readme slurm   ## everything: unit and end-to-end tests, MPI at 1, 2, 3 and 4 ranks, the README's commands, a real one-node Slurm

setup-test:               ## install what the tests need besides
	@[ -n "$${SKIP_SETUP:-}" ] || tools/setup.sh test

# The dev profile: its overflow checks and debug assertions are worth having, and `cargo run` is what it builds besides.
unit: build               ## cargo test; what it starts is ./goai-rs
	$(CARGO_TEST)

mpi: setup                ## tests/mpi under mpirun at 1, 2, 3 and 4 ranks, offloading also at 5 and 6
	@exe=$$(cargo test --locked --test mpi --no-run --message-format=json-render-diagnostics | grep '"kind":\["test"\]' | grep -o '"executable":"[^"]*"' | cut -d'"' -f4); \
	for n in 1 2 3 4; do echo "mpirun -n $$n tests/mpi"; mpirun --timeout 300 -n "$$n" "$$exe"; done; \
	for n in 5 6; do echo "mpirun -n $$n tests/mpi offload"; mpirun --timeout 300 -n "$$n" "$$exe" offload; done

readme: build             ## every command of README.md
	tests/readme.sh --self-check
	tests/readme.sh

slurm: build              ## slurm/*.sbatch, unedited, on a private one-node Slurm
	tests/slurm.sh

threads:                  ## build and test without MPI (no libclang, no mpicc: the ranks are threads)
	cargo build --locked --no-default-features
	$(CARGO_TEST) --no-default-features

test-long: build          ## the tests too long for every day
	cargo test --release --locked -- --ignored

bench: build              ## measure this machine
	cargo bench --locked --bench step

bench-plan: build        ## predicted beside measured seconds of an epoch, mode by mode
	tools/plan_vs_measured.py $(if $(DATA),--data $(DATA))
	tools/plan_vs_measured.py --mpi $(if $(DATA),--data $(DATA))

bench-peers: build        ## measure PyTorch on this machine, in a throw-away environment, and print the ratios
	tools/bench_peers.sh

fmt:                      ## format the code
	cargo fmt

lint:                     ## clippy, warnings denied, with and without MPI
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo clippy --locked --quiet --all-targets --no-default-features -- -D warnings

doc:                      ## the API documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

portable:                 ## whether it compiles for other processors than x86-64
	tools/check_portable.sh

check: lint doc portable  ## formatting, clippy, docs, the portable path: all that is fast
	cargo fmt --check

ci:                       ## what the continuous integration runs
	.ci/run

clean:                    ## remove what was built (runs/ stays)
	cargo clean
	rm -f goai-rs

help:                     ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do printf '%-18s %s\n' "$$name" "$$what"; done
