# The two commands of the README are `make demo` and `make test`; each installs what a fresh Debian or Ubuntu lacks.
# `make verify` reads and never writes, `make fix` writes.

# `make demo PROFILE=release` takes longer to build; the numbers of `make bench` are always of a release build.
PROFILE ?= dev
CARGO ?= cargo

.PHONY: demo test test-strikes test-versions soak soak-whole verify fix bench idle setup

demo: setup
	$(CARGO) build --profile $(PROFILE) --bins
	$(CARGO) run --profile $(PROFILE) --quiet --bin interrex -- demo

# In memory where there is plenty; TMPDIR=DIR says otherwise.
test verify test-strikes: export TMPDIR := $(shell .ci/scratch)

test: setup
	$(CARGO) test --workspace --no-fail-fast
	$(CARGO) test -p interrex-sim --features mutants --test mutants --test traps
	$(CARGO) test -p interrex-whole --features mutants --test mutants

# Seeds of the simulation, as many as you have hours for: SEEDS=1000000 FROM=100000 THREADS=8.
SEEDS ?= 100000
FROM ?= 0
THREADS ?= 2
soak: setup
	$(CARGO) run --release --quiet -p interrex-sim -- --seeds $(SEEDS) --from $(FROM) --threads $(THREADS)

# The same of its second tier, which is slower: optimised, and with openraft's own assertions on.
soak-whole: SEEDS = 500
soak-whole: setup
	$(CARGO) run --profile checked --quiet -p interrex-whole -- --seeds $(SEEDS) --from $(FROM) --threads $(THREADS)

# The scenes that start PostgreSQL, on each of 14 to 18; MAJORS="14 18" takes some of them only.
test-versions: setup
	.ci/versions

# Every step of every change of the commit rule, struck by everything that can die there: ten minutes.
test-strikes: setup
	$(CARGO) test --test it -- --ignored --nocapture by_everything

verify: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny check bans licenses sources; \
	else \
		echo "verify: SKIPPED cargo-deny, which is not installed (cargo install cargo-deny); tests/walls.rs judges the same lists"; \
	fi
	$(CARGO) test --workspace --no-fail-fast

fix:
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

# All figures of the README in one run; .ci/bench says what RUNS, PAIRS, RESTS, OUT and PEER_RUNS do. PEER=patroni
# measures Patroni beside it.
bench: setup
	$(CARGO) build --release --bins
	.ci/bench $(if $(PEER),--peer $(PEER))

# A minute of rest: no log grows, and no node writes a byte.
idle: setup
	$(CARGO) test --test it -- --ignored --nocapture idle

setup:
	@.ci/setup
