# Node >= 20, npm and make are all that is needed; Bun comes from the npm registry (see package.json).
BUN = $(firstword $(wildcard node_modules/@oven/bun-*/bin/bun))
BIOME = $(firstword $(wildcard node_modules/@biomejs/cli-linux-*/biome))
VERSION_COMMIT = $(shell git rev-parse --short=12 HEAD 2>/dev/null)
SOURCES = restorer.ts $(wildcard lib/*.ts lib/*/*.ts) package.json

.PHONY: build demo test check bench fuzz clean
.DELETE_ON_ERROR:

build: dist/restorer

# No .env and no bunfig.toml of the directory it is run in may reach the executable: that directory may hold anybody's code.
dist/restorer: node_modules/.package-lock.json $(SOURCES)
	@mkdir -p dist
	@$(BUN) build --compile --minify --bytecode --format=esm --splitting --sourcemap \
	  --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
	  --define 'RESTORER_COMMIT="$(VERSION_COMMIT)"' \
	  restorer.ts lib/archive/blob-thread.ts lib/archive/layer-thread.ts --outfile $@

demo: dist/restorer
	@$(BUN) test/demo.ts

test: check dist/restorer
	@$(BUN) test/run.ts

check: node_modules/.package-lock.json
	@$(BIOME) check --error-on-warnings .
	@node_modules/.bin/tsc --noEmit

bench: dist/restorer
	@$(BUN) bench/bench.ts $(BENCH)

# FOR of broken layers; SEED=n repeats a run that failed.
fuzz: dist/restorer
	@$(BUN) test/archive/fuzz.ts $(FOR)

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --loglevel=error
	@touch $@

clean:
	rm -rf dist node_modules tmp
