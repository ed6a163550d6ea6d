# Node >= 20, npm and make are all that is needed; Bun comes from the npm registry (see package.json).
BUN = $(firstword $(wildcard node_modules/@oven/bun-*/bin/bun))
BIOME = $(firstword $(wildcard node_modules/@biomejs/cli-linux-*/biome))
VERSION_COMMIT = $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# The same as in test/support/restorer-path.ts.
SOURCES = Makefile package.json package-lock.json restorer.ts $(shell find lib -name '*.ts') $(shell find build -type f)

.PHONY: build dist image test test-release check demo bench fuzz race inject clean help
.DELETE_ON_ERROR:

## make build   dist/restorer, where a source is newer; and before it node_modules
build: dist/restorer

# The file for every root: with this machine's glibc inside, where it has one. GLIBC=dir takes that of a directory.
dist/restorer: dist/plain/restorer
	@$(BUN) build/self-contained.ts $< $@ $(GLIBC)

dist/plain/restorer: node_modules/.package-lock.json $(SOURCES)
	@mkdir -p $(@D)
	@$(BUN) build/compile.ts $@ '$(VERSION_COMMIT)'

# The same for a release, for each machine: with Bun and glibc as pinned, see build/fetch.ts.
machines = x64 arm64
releases = $(machines:%=dist/release/%/restorer)
$(releases): dist/release/%/restorer: dist/release/%/plain/restorer
	@directory=$$($(BUN) build/fetch.ts glibc $*) && $(BUN) build/self-contained.ts $< $@ "$$directory"

$(machines:%=dist/release/%/plain/restorer): dist/release/%/plain/restorer: node_modules/.package-lock.json $(SOURCES) dist/release/commit
	@mkdir -p $(@D)
	@bun=$$($(BUN) build/fetch.ts bun $*) && $(BUN) build/compile.ts $@ '$(VERSION_COMMIT)' $* "$$bun"

# Another commit makes a release anew, also where no source differs: its name is in the executable.
dist/release/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION_COMMIT)' | cmp -s - $@ || echo '$(VERSION_COMMIT)' >$@
FORCE:

## make dist    for a release: archives for x64 and arm64, and their sums, in dist; the same bytes wherever it is run
dist: $(releases)
	@$(BUN) build/dist.ts

## make image   for a release: dist/image, an OCI layout with the executable for both, to be copied by skopeo
image: $(releases)
	@$(BUN) build/image.ts

## make test    format, lint and types (make check), then all tests
##              T=plan           only files with that word in their paths, or else tests with it in their names
##              T="tar cli"      several words: files with any of them, or else tests with them in a row
##              RESTORER=path    another executable than dist/restorer
test: $(if $(T),,check) dist/restorer
	@$(BUN) test/run.ts "$$T"

## make test-release   what of a release takes minutes: two builds of the commit that is checked out are the same bytes, the
##                     conformance suite in an empty root, arm64 by qemu
test-release: dist/restorer $(releases)
	@for file in $(wildcard ./test/release/*.ts); do $(BUN) test --timeout 3600000 $$file || exit; done

## make check   format, lint and types, without tests
check: node_modules/.package-lock.json
	@$(BIOME) check --error-on-warnings .
	@node_modules/.bin/tsc --noEmit

## make demo    packs a real cache, restores it, and shows what happened and where to look
demo: dist/restorer
	@$(BUN) test/demo.ts

## make bench   time and memory beside GNU tar
##              BENCH=all        all rows, or BENCH="name name" some of them
##              REFERENCE=path   and beside another restorer
bench: dist/restorer
	@$(BUN) bench/bench.ts $(BENCH)

## make fuzz    random changes to real layers
##              FOR=600          for so many seconds
##              SEED=n           again as in a run that failed
fuzz: dist/restorer
	@$(BUN) test/archive/fuzz.ts $(FOR)

## make race    an adversary swaps directories for links while root works on them; needs root
##              FOR=2000         rounds of each kind
##              KIND="sweep sbom"  some kinds only
##              RESTORER=path    another executable than dist/restorer
race: dist/restorer
	@$(BUN) test/race/race.ts $(or $(FOR),2000) $(KIND)

## make inject  has each system call of a small restore fail in turn; needs root and strace
##              CALL="openat read"  some calls only
##              SAMPLE=500       so many at random, which SEED=n decides
##              VARIANT=dropped  as the user that root becomes, or VARIANT=root
inject: dist/restorer
	@$(BUN) test/inject/inject.ts $(CALL)

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --loglevel=error
	@touch $@

## make clean   removes what the others have made
clean:
	rm -rf dist node_modules tmp .*.bun-build

## make help    this list
help:
	@sed -n 's/^## //p' Makefile
