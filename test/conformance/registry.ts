import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { type FaultRegistry, type FaultRule, startFaultRegistry, type TestImage } from "../support/fault-registry.ts";
import type { Case, FaultRegistrySpec } from "./case.ts";

/** Starts a registry that serves the images of a case, with the faults it asks for; undefined when it has no use for one. */
export async function startRegistry({ folder, definition }: Case): Promise<FaultRegistry | undefined> {
  const { images, faultRegistry } = definition.before;
  if (images.length === 0 && faultRegistry === undefined) return undefined;
  const { auth, rules } = faultRegistry ?? { auth: undefined, rules: [] };
  const registry = await startFaultRegistry({ rules: rules.map(toFault), ...(auth === undefined ? {} : { auth }) });
  for (const { layout, repo, tag } of images) registry.push(repo, tag, readLayout(join(folder, layout)));
  return registry;
}

function toFault(rule: FaultRegistrySpec["rules"][number]): FaultRule {
  const requests = rule.method === undefined ? { path: rule.path } : { path: rule.path, method: rule.method };
  if ("body" in rule) return { ...requests, fault: { kind: rule.body === "truncate" ? "cut" : rule.body } };
  const { status, code } = rule;
  const body = JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] });
  return {
    ...requests,
    fault: { kind: "status", status, headers: { "content-type": "application/json", ...rule.headers }, body },
  };
}

const descriptor = v.object({ mediaType: v.string(), digest: v.string() });
const index = v.object({ manifests: v.array(descriptor) });
const manifest = v.object({ config: descriptor, layers: v.optional(v.array(descriptor), []) });

/** The image or index that an OCI layout holds; blobs that its folder lacks the registry lacks too. */
function readLayout(layout: string): TestImage {
  const [root] = v.parse(index, JSON.parse(readFileSync(join(layout, "index.json"), "utf8"))).manifests;
  if (root === undefined) throw new Error(`${layout}/index.json names no manifest`);
  return readImage(layout, root);
}

function readImage(layout: string, { mediaType, digest }: v.InferOutput<typeof descriptor>): TestImage {
  const bytes = readFileSync(blobPath(layout, digest));
  const document: unknown = JSON.parse(bytes.toString());
  const asIndex = v.safeParse(index, document);
  if (asIndex.success) {
    const members = asIndex.output.manifests.map((member) => readImage(layout, member));
    return { mediaType, digest, bytes, blobs: new Map(), members };
  }
  const { config, layers } = v.parse(manifest, document);
  const present = [config, ...layers].filter((blob) => existsSync(blobPath(layout, blob.digest)));
  const blobs = new Map(present.map((blob) => [blob.digest, readFileSync(blobPath(layout, blob.digest))]));
  return { mediaType, digest, bytes, blobs, members: [] };
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", ...digest.split(":"));
}
