# The front door. `make run` and `make check` do all set-up on a fresh Debian 12 machine.
#   run      install what is missing, build, walk through the clustering guide on live data
#   check    install what is missing, build with sanitizers, run all that proves the project (under 20 minutes)
#   test     the everyday subset (under 2 minutes)      soak    the long forms (up to an hour)
#   build    the release build in build/release         bench   the benchmarks
#   bench-check   instruction counts of fixed work against the committed ones
#   fuzz     the fuzz targets, FUZZ_SECONDS each (15)   lint, docs (generated tables), format, install
SHELL = /bin/bash
RELEASE = build/release
DEBUG = build/debug
FUZZ = build/fuzz
FUZZ_SECONDS ?= 15

.PHONY: run check test soak build debug bench bench-check fuzz lint docs format install setup setup-check clean
.DEFAULT_GOAL := build

setup:
	@scripts/install-packages run
setup-check:
	@scripts/install-packages check

$(RELEASE)/build.ninja:
	meson setup $(RELEASE) --buildtype=release -Db_lto=true -Dtests=false >/dev/null
$(DEBUG)/build.ninja:
	meson setup $(DEBUG) -Ddebug=true -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false >/dev/null

build: setup $(RELEASE)/build.ninja
	@ninja -C $(RELEASE) --quiet
debug: setup-check $(DEBUG)/build.ninja
	@ninja -C $(DEBUG) --quiet

run: build
	@scripts/walk $(RELEASE)

test: debug
	@scripts/run-tests quick $(DEBUG)
check: setup-check debug build
	@scripts/run-tests check $(DEBUG) $(RELEASE)
soak: setup-check debug build
	@scripts/run-tests soak $(DEBUG) $(RELEASE)

bench: build
	@bench/run $(RELEASE)
bench-check: setup-check build
	@bench/check $(RELEASE)
fuzz: setup-check
	@scripts/fuzz $(FUZZ) $(FUZZ_SECONDS)
lint: setup-check debug
	@scripts/lint $(DEBUG)
docs: debug
	@$(DEBUG)/tests/docs/docs_lambda docs/lambda.md
	@$(DEBUG)/tests/docs/docs_nodes docs --run
format: setup-check
	git ls-files '*.c' '*.h' | xargs clang-format-14 -i
install: build
	meson install -C $(RELEASE)
clean:
	rm -rf build
