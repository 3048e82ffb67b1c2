# `make demo` shows it, `make test` tests it; `make help` lists the rest. Everything can be run again at any time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The Rust sources that are workspaces of their own.
OTHER_WORKSPACES := bench

# What `make soak` does; every other client is hostile.
SOAK_MINUTES := 60
SOAK_CLIENTS := 5000

# How long `make fuzz` runs each target, in seconds; and which.
FUZZ_TIME := 60
FUZZ_TARGETS := frames client publisher body config token

# Where `make demo` listens. Set here, since some shells export a HOST of their own.
HOST := 127.0.0.1

.PHONY: help build demo test test-rust test-php test-js test-demo lint lint-rust lint-js lint-php lint-scripts lint-words \
	tools bench conformance fuzz memcheck soak install uninstall install-server uninstall-server clean

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-18s %s\n' "$$name" "$$text"; done

build: ## Builds the server and the extension into target/release
	@scripts/packages build
	cargo build --release --locked --workspace

demo: ## Runs the demo until Ctrl-C; HOST=0.0.0.0 shows it to a phone
	@scripts/packages demo
	cargo build --release --locked --workspace
	@HOST='$(HOST)' exec scripts/demo

test: test-rust test-php test-js test-demo ## Runs every test

test-rust:
	@scripts/packages build
	cargo test --locked --workspace
	for workspace in $(OTHER_WORKSPACES); do cargo test --locked --manifest-path "$$workspace/Cargo.toml" --workspace; done

test-php: build
	@scripts/packages test
	php-tests/run

test-js: build
	@scripts/packages test
	clients/js/test/run

test-demo: build
	@scripts/packages test
	node --test --test-reporter=spec demo/test/*.test.mjs scripts/test/*.test.mjs

lint: lint-rust lint-js lint-php lint-scripts lint-words ## Checks style, manuals, licences and spelling

lint-rust:
	@scripts/packages build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items --quiet
	for workspace in $(OTHER_WORKSPACES); do \
		cargo fmt --manifest-path "$$workspace/Cargo.toml" --all --check; \
		cargo clippy --locked --manifest-path "$$workspace/Cargo.toml" --workspace --all-targets -- -D warnings; \
	done
	@if command -v cargo-deny >/dev/null; then \
		set -x; cargo deny --locked check bans licenses sources; \
	else echo 'Not checked: licences and sources (`make tools` brings cargo-deny).'; fi

lint-js:
	@scripts/packages test
	cd clients/js && npm ci --no-audit --no-fund --silent && npm run --silent lint
	clients/js/node_modules/.bin/prettier --config clients/js/.prettierrc --check '{demo,scripts}/**/*.{js,mjs}'

lint-php:
	@scripts/packages test
	git ls-files '*.php' | xargs -n 1 php -n -l >/dev/null

lint-scripts:
	@scripts/packages test
	git ls-files -z scripts .ci php-tests/run clients/js/test/run bench/run ':!*.mjs' ':!*.py' | xargs -0 shellcheck

lint-words:
	@if command -v typos >/dev/null; then set -x; typos; else echo 'Not checked: spelling (`make tools` brings typos).'; fi

tools: ## Installs cargo-deny and typos by cargo, unless they are there (some minutes)
	@scripts/packages build
	command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny@0.20.2
	command -v typos >/dev/null || cargo install --locked --quiet typos-cli@1.52.0

conformance: ## Runs Autobahn's test suite against the server and the publisher (needs Python 2.7)
	@scripts/packages build
	cargo build --release --locked -p realtime-server
	cargo build --release --locked -p realtime-publisher --example echo
	scripts/conformance/run server
	scripts/conformance/run client

fuzz: ## Runs each fuzz target for FUZZ_TIME seconds (needs a nightly compiler and cargo-fuzz)
	@scripts/packages build
	scripts/fuzz $(FUZZ_TIME) $(FUZZ_TARGETS)

memcheck: ## Watches the extension's memory under Valgrind; with DEBUG_PHP=1 also with a debug PHP, which it builds
	@scripts/packages memcheck
	cargo build --release --locked --workspace
	scripts/memcheck valgrind
	@[ -z '$(DEBUG_PHP)' ] || scripts/memcheck debug

soak: ## Good and hostile clients for SOAK_MINUTES (60): losses, and whether the server's memory grows
	@scripts/packages build
	cargo build --release --locked -p realtime-server
	cargo build --release --locked --manifest-path bench/Cargo.toml -p soak
	"$${CARGO_TARGET_DIR:-bench/target}/release/soak" --server "$${CARGO_TARGET_DIR:-target}/release/realtime-server" \
		--clients $(SOAK_CLIENTS) --minutes $(SOAK_MINUTES)

bench: ## Measures, and draws docs/benchmarks
	@scripts/packages test
	bench/run

install: ## Installs the built extension for PHP's CLI and FPM (as root)
	@scripts/install-extension

uninstall: ## Undoes `make install`
	@scripts/install-extension --remove

install-server: ## Installs the built server as a systemd service (as root)
	@scripts/install-server

uninstall-server: ## Undoes `make install-server`, but for the configuration
	@scripts/install-server --remove

clean: ## Removes everything that was built
	cargo clean
	for workspace in $(OTHER_WORKSPACES); do cargo clean --manifest-path "$$workspace/Cargo.toml"; done
	rm -rf clients/js/node_modules
