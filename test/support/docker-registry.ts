/** Debian's `docker-registry`, where the machine has it. */
import { readFileSync, writeFileSync } from "node:fs";
import { eventually } from "./eventually.ts";
import type { TestImage } from "./fault-registry.ts";
import { have, skipUnless, type TempDir } from "./harness.ts";

export const program = Bun.which("docker-registry") ?? Bun.which("registry");
export const withRegistry = skipUnless(program !== null, "docker-registry");
export const withSkopeo = skipUnless(program !== null && have("skopeo"), "docker-registry and skopeo");
export const withUmoci = skipUnless(
  program !== null && have("skopeo") && have("umoci"),
  "docker-registry, skopeo and umoci",
);

/** Runs a tool to its end; what it printed. */
export function run(...argv: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

export interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** What the restorer was answered about a repository: `200 manifests/v1`, in alphabetical order. */
  answers(repository: string, atLeast: number): Promise<string[]>;
}

/** Parts of a docker-registry's configuration. */
interface Settings {
  readonly auth?: object;
  readonly tls?: object;
}

/** Starts a docker-registry on a port of its own choice. It ends with this process, however that ends. */
export async function startRegistry(dir: TempDir, name: string, { auth, tls }: Settings = {}): Promise<RealRegistry> {
  if (program === null) throw new Error("no docker-registry");
  const [config, log, access] = [dir.join(`${name}.yml`), dir.join(`${name}.log`), dir.join(`${name}.access`)];
  const http = { addr: "127.0.0.1:0", tls };
  const storage = { filesystem: { rootdirectory: dir.join("storage") } };
  // JSON is YAML, too.
  writeFileSync(config, JSON.stringify({ version: "0.1", log: { level: "info" }, storage, auth, http }));
  const script = '"$@" & trap "kill $!" EXIT; read _';
  const child = Bun.spawn(["sh", "-c", script, "sh", program, "serve", config], {
    stdin: "pipe",
    stdout: Bun.file(access),
    stderr: Bun.file(log),
  });
  const listening = () => /listening on (127\.0\.0\.1:\d+)/.exec(readFileSync(log, "utf8"))?.[1];
  const host = await eventually("docker-registry", listening).catch((error: unknown) => {
    child.kill();
    throw new Error(`${error}: ${readFileSync(log, "utf8")}`);
  });
  const line = /"GET \/v2\/(\S+) HTTP\/1\.1" (\d+) .*"restorer"$/gm;
  return {
    host,
    answers: (repository, atLeast) =>
      eventually(`${atLeast} answers about ${repository}`, () => {
        const all = [...readFileSync(access, "utf8").matchAll(line)].map(([, path = "", status = ""]) => ({
          path,
          status,
        }));
        const about = all.filter(({ path }) => path.startsWith(`${repository}/`));
        if (about.length < atLeast) return undefined;
        return about.map(({ path, status }) => `${status} ${path.slice(repository.length + 1)}`).sort();
      }),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await child.exited;
    },
  };
}

/** Pushes an image, or an index and its members, byte for byte. */
export async function push(registry: RealRegistry, repository: string, tag: string, image: TestImage): Promise<void> {
  for (const member of image.members) await push(registry, repository, member.digest, member);
  const api = `http://${registry.host}/v2/${repository}`;
  for (const [digest, bytes] of image.blobs) {
    const { headers } = await fetched(`${api}/blobs/uploads/`, { method: "POST" });
    const location = new URL(headers.get("location") ?? "", api);
    location.searchParams.set("digest", digest);
    await fetched(location.href, { method: "PUT", body: Buffer.from(bytes) });
  }
  const headers = { "content-type": image.mediaType };
  await fetched(`${api}/manifests/${tag}`, { method: "PUT", headers, body: Buffer.from(image.bytes) });
}

async function fetched(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}
