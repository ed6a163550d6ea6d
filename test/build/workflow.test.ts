import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { array, object, optional, parse, record, string, unknown } from "valibot";

const project = resolve(import.meta.dir, "../..");
const read = (name: string) => readFileSync(join(project, name), "utf8");

const steps = array(object({ name: optional(string()), uses: optional(string()), run: optional(string()) }));
const workflow = object({ permissions: record(string(), unknown()), jobs: record(string(), object({ steps })) });

test("the release workflow is YAML, asks for no rights as a whole, and runs targets that there are", () => {
  const { permissions, jobs } = parse(workflow, Bun.YAML.parse(read(".github/workflows/release.yml")));
  expect(permissions).toEqual({});
  const scripts = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
  const targets = scripts.flatMap((script) =>
    [...script.matchAll(/\bmake (.+)$/gm)].flatMap(([, names = ""]) => names.split(" ")),
  );
  expect(targets).toEqual(["test-release", "dist", "image"]);
  for (const target of targets) expect(read("Makefile")).toMatch(new RegExp(`^${target}:`, "m"));
  expect(scripts.join("\n")).toContain("bash .ci/run");
  for (const script of scripts) {
    const { exitCode, stderr } = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(script) });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  }
});
