import { anonymous } from "../lib/keychain/credential.ts";
import { StreamLog } from "../lib/log.ts";
import { parseReference } from "../lib/oci/reference.ts";
import { createRegistry } from "../lib/registry/registry.ts";
import { testImage } from "../test/support/fault-registry.ts";
import { formatColumns, time } from "./table.ts";

const clients = Number(process.env.STORM_CLIENTS ?? 200);
const layersEach = 3;
/** Manifest, config and the blobs. */
const requestsEach = layersEach + 2;
/** As many blobs as a restorer on two cores reads at once. */
const atOnce = 2;

/** How a registry says that it has had enough. */
interface Limiter {
  readonly name: string;
  /** The value of Retry-After for a request that comes `waitMs` too early; undefined sends none. */
  readonly retryAfter: (waitMs: number) => string | undefined;
  /** Requests a second, and how many of them may come at once. */
  readonly perSecond: number;
  readonly burst: number;
}

const limiters: readonly Limiter[] = [
  {
    name: "no limit",
    perSecond: Number.POSITIVE_INFINITY,
    burst: Number.POSITIVE_INFINITY,
    retryAfter: () => undefined,
  },
  { name: "200/s, Retry-After: 1", perSecond: 200, burst: 200, retryAfter: () => "1" },
  { name: "100/s, Retry-After: 1", perSecond: 100, burst: 100, retryAfter: () => "1" },
  { name: "100/s, Retry-After: 5", perSecond: 100, burst: 100, retryAfter: () => "5" },
  { name: "100/s, no Retry-After", perSecond: 100, burst: 100, retryAfter: () => undefined },
  { name: "50/s, Retry-After: 1", perSecond: 50, burst: 50, retryAfter: () => "1" },
];

/** A registry with one image behind a token bucket. */
class LimitedRegistry implements Disposable {
  readonly image = testImage({
    layers: Array.from({ length: layersEach }, (_, i) => Buffer.alloc(64 * 1024, `layer ${i}\n`)),
  });
  /** When each request came, and whether it was served. */
  readonly log: { readonly at: number; readonly served: boolean }[] = [];
  readonly #limiter: Limiter;
  readonly #server: Bun.Server<undefined>;
  #tokens: number;
  #filledAt = performance.now();

  constructor(limiter: Limiter) {
    this.#limiter = limiter;
    this.#tokens = limiter.burst;
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => this.#answer(new URL(url).pathname),
    });
  }

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  #answer(path: string): Response {
    const waitMs = this.#take();
    this.log.push({ at: performance.now(), served: waitMs === 0 });
    if (waitMs > 0) {
      const after = this.#limiter.retryAfter(waitMs);
      return new Response(null, { status: 429, headers: after === undefined ? {} : { "retry-after": after } });
    }
    if (path.includes("/manifests/")) {
      return new Response(this.image.bytes.slice(), { headers: { "content-type": this.image.mediaType } });
    }
    const blob = this.image.blobs.get(path.slice(path.lastIndexOf("/") + 1));
    return blob === undefined ? new Response(null, { status: 404 }) : new Response(blob.slice());
  }

  /** Takes a token; else says how long until there is one. */
  #take(): number {
    const { perSecond, burst } = this.#limiter;
    const now = performance.now();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
    if (this.#tokens < 1) return ((1 - this.#tokens) / perSecond) * 1000;
    this.#tokens -= 1;
    return 0;
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true);
  }
}

/** What a restore from a cache image asks of a registry: manifest, config, and the blobs, some at a time. */
async function restoreFrom(host: string): Promise<void> {
  const registry = createRegistry({
    keychain: { for: () => anonymous },
    insecureRegistries: [],
    env: {},
    log: new StreamLog("error"),
    signal: new AbortController().signal,
  });
  const image = await registry.image(parseReference(`${host}/storm/cache:latest`));
  await registry.config(image, image.manifest.layers.length);
  const queue = image.manifest.layers.values();
  const work = async (): Promise<void> => {
    for (const layer of queue) {
      let bytes = 0;
      for await (const chunk of registry.blob(image, layer)) bytes += chunk.length;
      if (bytes !== layer.size) throw new Error(`a blob of ${bytes} bytes instead of ${layer.size}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

const headings = [
  "registry",
  "finished",
  "at best",
  "min",
  "median",
  "p95",
  "max",
  "served",
  "429",
  "requests/client",
  "busiest second",
];

/** Starts all clients at once against each registry in turn, and prints how they fared. */
export async function storm(): Promise<void> {
  const lines: string[][] = [];
  const notes: string[] = [];
  for (const limiter of limiters) {
    console.error(`${clients} restores against a registry with ${limiter.name}`);
    using registry = new LimitedRegistry(limiter);
    const started = performance.now();
    const finished: number[] = [];
    const failures = new Map<string, number>();
    const client = async (): Promise<void> => {
      try {
        await restoreFrom(registry.host);
        finished.push(performance.now() - started);
      } catch (error) {
        const message = (error instanceof Error ? error.message : String(error))
          .replaceAll(registry.host, "registry")
          .replaceAll(/sha256:[0-9a-f]+/g, "…");
        failures.set(message, (failures.get(message) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    lines.push(lineOf(limiter, registry, finished));
    for (const [message, times] of failures) notes.push(`${limiter.name}: ${times} × ${message}`);
  }
  console.log(`\nA storm: ${clients} restores of ${layersEach} small layers from a cache image, started at once\n`);
  console.log(formatColumns(headings, lines));
  console.log(
    `\nA restore needs ${requestsEach} requests: manifest, config and a blob for each layer. Limits are token buckets that`,
  );
  console.log(
    "start full; at best the last restore ends when the bucket has given as many tokens as all of them need.",
  );
  for (const note of notes) console.log(note);
}

function lineOf({ name, perSecond, burst }: Limiter, { log }: LimitedRegistry, finished: readonly number[]): string[] {
  const sorted = finished.toSorted((a, b) => a - b);
  const at = (part: number): string => {
    const value = sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
    return value === undefined ? "–" : time(value);
  };
  const served = log.filter((request) => request.served).length;
  return [
    name,
    `${finished.length}/${clients}`,
    perSecond === Number.POSITIVE_INFINITY
      ? "–"
      : time(Math.max(0, ((clients * requestsEach - burst) / perSecond) * 1000)),
    ...[0, 0.5, 0.95, 1].map(at),
    String(served),
    String(log.length - served),
    (log.length / clients).toFixed(1),
    String(busiestSecond(log.map((request) => request.at))),
  ];
}

/** The most requests that came within any one second. */
function busiestSecond(times: readonly number[]): number {
  let most = 0;
  let first = 0;
  for (const [index, at] of times.entries()) {
    while (at - (times[first] ?? at) > 1000) first++;
    most = Math.max(most, index - first + 1);
  }
  return most;
}
