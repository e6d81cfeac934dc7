# Bare `make` lists the targets. All of them work from a fresh clone with Go, gcc
# (for the race detector), git and make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# What `weir version` says. Outside a git checkout there is nothing better to say.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# make test RACE=1 adds the race detector; TESTFLAGS and PKG narrow it down:
#   make test PKG=./limits TESTFLAGS='-run Gate -count=1'
RACE ?=
PKG ?= ./...
# Two packages at a time; those that start servers and processes by the hundred
# come last, each by itself.
TESTFLAGS ?= -p 2
ALONE := ./e2e/...
# How long make idle watches each.
IDLE ?= 60s
# For make soak-page.
PAGE_SOAK ?= 60m
# For each target of `make fuzz`.
FUZZTIME ?= 1h
# Tests that skip under the race detector; make check runs them without.
PLAIN = $(shell awk -F '[^A-Za-z0-9_]+' '/^func Test/ { name = $$2 } /^\tskipRaced|if raceDetector/ { print name }' limits/sim/*_test.go proxy/*_test.go | paste -sd '|')
# For make queue-proofs, which of them.
QUEUE_PROOFS ?= ADiskThatFails|ADiskIsReplaced|AcceptedAsADiskFails|A202Follows|Cluster|DeferredCalls|SlowCallsOfOne
# For make bench, such as -quick or -only 50B-32; `go run ./bench -help` lists them.
BENCHFLAGS ?=
# For all targets of `make check` together, in seconds.
FUZZ_SMOKE ?= 60

TOOLS := bin/tools
# Besides the one this runs on, which is built for the tests: one a system, since
# weir has no code of its own for a processor. Releases are built for more.
PLATFORMS ?= linux/arm64 darwin/arm64
# What Grafana runs on; each is a program of 28 MB.
PLUGIN_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
# Grafana wants three numbers; a checkout without a tag has none.
PLUGIN_VERSION ?= $(or $(shell printf '%s' '$(VERSION)' | sed -nE 's/^v?((0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*).*)/\1/p'),0.0.0)
PLUGIN_DATE ?= $(shell git log -1 --format=%cs 2>/dev/null || date -u +%F)
# Static, reproducible, and the same as in the Dockerfile. The version comes from
# VERSION, not from what go build finds in .git.
# make build TAGS=noqueueserver leaves the queue's server out: half the size.
TAGS ?=
BUILDFLAGS := -tags=$(TAGS) -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/weir and bin/weirctl, static, for this machine
	CGO_ENABLED=0 go build $(BUILDFLAGS) -o bin/ ./cmd/weir ./cmd/weirctl

.PHONY: demo
demo: ## half a minute of weir at work: a sample function, weir in front, uneven traffic
	go run ./cmd/weir demo --for 30s

.PHONY: test
test: deps $(TOOLS)/gotest ## run all tests; RACE=1 with the race detector
	$(TOOLS)/gotest -alone=$(ALONE) $(if $(RACE),-race) $(TESTFLAGS) $(PKG)

.PHONY: test-page
test-page: $(TOOLS)/gotest ## the status page in a real Chromium; its pictures in bin/page
	@scripts/install-deps browser
	@mkdir -p bin/page
	npm ci --prefix e2e/browser --no-audit --no-fund
	PAGE_PICTURES=$(CURDIR)/bin/page $(TOOLS)/gotest -count=1 ./e2e -run '^TestPage'

.PHONY: scrape
scrape: ## what a scrape of a sidecar with everything on weighs and takes
	go test -count=1 -v ./e2e -run '^TestAScrapeOfEverything$$' -scrapes=200 -scrape-may-take=10ms

.PHONY: soak-page
soak-page: ## the status page in a real Chromium for an hour (PAGE_SOAK) under load: right, and not growing
	@scripts/install-deps browser
	npm ci --prefix e2e/browser --no-audit --no-fund
	PAGE_SOAK=$(PAGE_SOAK) go test -count=1 -v -timeout 0 ./e2e -run '^TestPageSoak$$'

.PHONY: test-dashboards
test-dashboards: $(TOOLS)/gotest ## dashboards and alerts on real parts: weirs in trouble, Prometheus, Alertmanager; drawn by Grafana's components
	@scripts/install-deps dashboards
	@mkdir -p bin/dashboards
	$(TOOLS)/gotest -count=1 ./e2e -run '^(TestDashboards|TestAbsenceIsNoticed)$$' -dashboards -dashboards-out=$(CURDIR)/bin/dashboards/results.json
	$(TOOLS)/gotest -count=1 ./dashboards/pictures -results=$(CURDIR)/bin/dashboards/results.json -out=$(CURDIR)/bin/dashboards
	@echo "the pictures are in bin/dashboards"

.PHONY: plugin
plugin: ## build and pack the Grafana data source: bin/plugin
	@scripts/install-deps plugin
	rm -rf bin/plugin && mkdir -p bin/plugin/dist
	node dashboards/plugin/frontend/build.mjs bin/plugin/dist $(PLUGIN_VERSION) $(PLUGIN_DATE)
	cp dashboards/plugin/frontend/README.md dashboards/plugin/frontend/CHANGELOG.md bin/plugin/dist/
	for platform in $(PLUGIN_PLATFORMS); do \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go -C dashboards/plugin build -trimpath -buildvcs=false -ldflags "-s -w" \
			-o $(CURDIR)/bin/plugin/dist/gpx_weir_$${platform%/*}_$${platform#*/} ./gpx_weir; \
	done
	go -C dashboards/plugin run ./pack $(CURDIR)/bin/plugin/dist $(CURDIR)/bin/plugin/weir-weir-datasource-$(PLUGIN_VERSION).zip

.PHONY: test-plugin
test-plugin: $(TOOLS)/gotest $(TOOLS)/staticcheck ## the Grafana data source as Grafana runs it, in front of a real weir, and in a real Chromium
	@scripts/install-deps plugin
	@mkdir -p bin/plugin/answers bin/plugin/pictures
	go -C dashboards/plugin mod tidy -diff
	go -C dashboards/plugin vet ./...
	cd dashboards/plugin && $(CURDIR)/$(TOOLS)/staticcheck ./...
	cd dashboards/plugin && $(CURDIR)/$(TOOLS)/gotest -race -count=1 ./datasource ./pack
	cd dashboards/plugin && $(CURDIR)/$(TOOLS)/gotest -race -count=1 . -record=$(CURDIR)/bin/plugin/answers
	cd dashboards/plugin && $(CURDIR)/$(TOOLS)/gotest -count=1 ./frontend -answers=$(CURDIR)/bin/plugin/answers -out=$(CURDIR)/bin/plugin/pictures
	@echo "the pictures are in bin/plugin/pictures"

# What a Collector links is compiled here alone.
.PHONY: test-traces
test-traces: $(TOOLS)/gotest $(TOOLS)/staticcheck ## weir's spans through a real OpenTelemetry Collector, which refuses some and is started anew
	go -C e2e/collector mod tidy -diff
	go -C e2e/collector vet .
	cd e2e/collector && $(CURDIR)/$(TOOLS)/staticcheck .
	cd e2e/collector && $(CURDIR)/$(TOOLS)/gotest -count=1 .

.PHONY: check
check: ## everything that has to pass, as CI runs it
	@$(MAKE) --no-print-directory check-format
	@$(MAKE) --no-print-directory check-modules
	@$(MAKE) --no-print-directory check-platforms
	@$(MAKE) --no-print-directory check-code
	@$(MAKE) --no-print-directory test RACE=1
	@$(MAKE) --no-print-directory check-plain
	@$(MAKE) --no-print-directory check-fuzz

.PHONY: check-format
check-format: $(TOOLS)/gofumpt
	@echo "gofumpt -l ."
	@unformatted=$$($(TOOLS)/gofumpt -l .); if [ -n "$$unformatted" ]; then \
		printf '%s\n' "$$unformatted" "not formatted; run: $(TOOLS)/gofumpt -l -w ." >&2; exit 1; fi

.PHONY: check-modules
check-modules:
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C bench/queuefront mod tidy -diff

# Without BUILDFLAGS: what go vet compiles below is then compiled once.
.PHONY: check-platforms
check-platforms:
	@for platform in $(PLATFORMS); do \
		for binary in weir weirctl; do \
			echo "go build ./cmd/$$binary for $$platform"; \
			CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build -o /dev/null ./cmd/$$binary; \
		done; \
	done
	CGO_ENABLED=0 go vet -tags noqueueserver ./cmd/weir ./queue/jetstream
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go vet ./cmd/...

.PHONY: check-code
check-code: $(TOOLS)/staticcheck
	go vet ./...
	$(TOOLS)/staticcheck ./...

# What the race detector makes too slow, or looks at what it changes.
.PHONY: check-plain
check-plain: $(TOOLS)/gotest
	$(TOOLS)/gotest -run '^($(PLAIN))$$' ./limits/sim ./proxy

.PHONY: check-fuzz
check-fuzz:
	scripts/fuzz total $(FUZZ_SMOKE)

.PHONY: fuzz
fuzz: ## fuzz every target, FUZZTIME each (default 1h)
	scripts/fuzz each $(FUZZTIME)
	scripts/fuzz each $(FUZZTIME) dashboards/plugin

.PHONY: crash-test
crash-test: ## 300 kills and, as root, 50 power cuts in the middle of asynchronous load; ledgers of before and after
	QUEUE_CRASH_ROUNDS=300 QUEUE_POWER_CUTS=50 go test -count=1 -timeout 60m -v -run 'TestNoAcknowledgedCallIsLost|TestNoEndGoesUntold|TestWithoutFsync|TestWithoutACrash' ./queue

# One after another: each wants the machine for itself.
.PHONY: queue-proofs
queue-proofs: deps ## what the queue promises, at full length, in some minutes: disks that fail, a cluster, deferral, isolation
	QUEUE_PROOFS=1 go test -count=1 -timeout 30m -v -p 1 -parallel 1 -run '$(QUEUE_PROOFS)' ./queue/jetstream ./e2e

.PHONY: bench
bench: ## measure weir beside HAProxy, nginx and a net/http ReverseProxy, in 12 minutes at most
	@scripts/install-deps bench
	go run ./bench $(BENCHFLAGS)

.PHONY: bench-queue
bench-queue: ## accepted calls a second beside Redis and PostgreSQL behind the same front, in 5 minutes
	@scripts/install-deps queue
	cd bench/queuefront && go run . -weir ../.. -out ../QUEUE.md $(BENCHFLAGS)

.PHONY: backlog
backlog: ## weir with a million calls waiting: memory, restart, rate; in 4 minutes and 2 GB of temporary files
	@scripts/install-deps queue
	cd bench/queuefront && go run . -weir ../.. -out ../QUEUE.md -backlog 1000000

.PHONY: bench-micro
bench-micro: ## what parsing, entering and leaving, observing cost, with allocations
	go test -run '^$$' -bench . -benchmem ./limits ./metrics ./proxy/h1

.PHONY: manuals
manuals: ## write manual pages and completions to bin/manuals, generated from the commands
	rm -rf bin/manuals
	go run -tags manuals ./cmd/weir bin/manuals
	go run -tags manuals ./cmd/weirctl bin/manuals

.PHONY: release-check
release-check: $(TOOLS)/goreleaser ## build a release twice, without publishing it, and compare; look into packages and image
	scripts/release-check $(abspath $(TOOLS))/goreleaser

.PHONY: check-charts
check-charts: ## render the Helm chart and the kustomize component with Helm's and kustomize's libraries
	go -C deploy/charts mod tidy -diff
	go -C deploy/charts test ./...

.PHONY: idle
idle: ## measure memory and CPU of a sidecar that has nothing to do, slim, whole, and with a queue
	go run ./scripts/idle -tags noqueueserver -most 15 -for $(IDLE)
	go run ./scripts/idle -most 15 -for $(IDLE)
	go run ./scripts/idle -most 40 -for $(IDLE) -queue

.PHONY: storm
storm: ## a million calls through the limits, cancelled, panicking, while all settings change
	go test -race -run TestEverythingAtOnce -count 1 -v ./limits -calls 1000000

.PHONY: overload
overload: ## goodput, latency, refusals and fairness at up to 10 times capacity, over loopback: bench/OVERLOAD.md, in 2 minutes
	go run ./bench/overload $(BENCHFLAGS)

.PHONY: leases
leases: ## ten sidecars share a limit over NATS; one is killed, NATS ends and comes back; then the model, at length
	go test -count 1 -v -run TestManySidecarsShareOneLimit ./e2e -leases-for 10s
	go test -count 1 ./limits/lease -rapid.checks=10000 -courses 300

.PHONY: lease-mutants
lease-mutants: ## break each rule of the leases in turn: some test has to fail; in 10 minutes
	go test -count 1 -v -timeout 30m -run TestMutantsAreFound ./limits/lease -mutants

.PHONY: sim
sim: ## simulate the limits beside others, and write docs/limits.md with its plots
	go test -run TestReport -count 1 -timeout 20m ./limits/sim -update

.PHONY: deps
deps: ## install what the tests use besides Go, where root and apt are there
	@scripts/install-deps

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin

# The versions are pinned in tools/go.mod.
$(TOOLS)/staticcheck: tools/go.mod tools/go.sum
	go -C tools build -o ../$@ honnef.co/go/tools/cmd/staticcheck

$(TOOLS)/gofumpt: tools/go.mod tools/go.sum
	go -C tools build -o ../$@ mvdan.cc/gofumpt

$(TOOLS)/gotest: $(wildcard scripts/gotest/*.go) go.mod
	go build -o $@ ./scripts/gotest

# A module of its own: what goreleaser needs is ten times what weir does.
$(TOOLS)/goreleaser: tools/release/go.mod tools/release/go.sum
	go -C tools/release build -o ../../$@ github.com/goreleaser/goreleaser/v2
