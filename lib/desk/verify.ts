import type { Extracted } from "../archive/extract.ts";
import { NotOpened } from "../archive/source.ts";
import { Workers } from "../archive/workers.ts";
import type { Cache } from "../caches/cache.ts";
import { describe } from "../errors.ts";
import { ExitCode, threadFailed } from "../failures.ts";
import { chooseLayer } from "../layers/only.ts";
import type { Unreadable } from "../layers/unreadable.ts";
import { isDigest } from "../oci/digest.ts";
import { count, formatBytes, thousands } from "../text.ts";
import { cachedLayers, digestProblem, metadataProblem, nameProblem, type Problem } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";
import { unreadable } from "./inspect-cache.ts";
import { openNamedCache, takeCache } from "./named-cache.ts";
import type { Cell, Color } from "./table.ts";

/** What is read: a layer's blob, or that of the SBOM files. */
interface Subject {
  readonly name: string;
  readonly sha: string | undefined;
  readonly anchor: readonly string[];
  readonly data: { readonly buildpack?: string; readonly layer?: string; readonly sbom?: true };
  /** Whether the cache promises its contents; one with cache=false need not be there. */
  readonly isPromised: boolean;
  /** Why no restore takes it, whatever its blob is. */
  readonly misnamed?: Problem | undefined;
  /** What is wrong with its metadata, where they are to come back. */
  readonly problem?: string | undefined;
}

/** What came of it, each state with its codes. `absent`: there is no blob, and none is promised. */
export const findingCodes = {
  sound: "it would be extracted as it is",
  "not-kept": "there is no blob, and cache=false promises none",
  "reserved-name": "its name, or its buildpack's id, is the place of something else; its blob is not read (D11)",
  "unsafe-name": "its name, or its buildpack's id, cannot be the name of a file; its blob is not read (D11)",
  "no-digest": "no digest is recorded for it, though it is promised",
  "bad-digest": "what is recorded as its digest is not one",
  "blob-unavailable": "its blob is not there, or cannot be opened",
  "blob-unusable": "its blob is cut off or corrupt, or holds what a layer may not hold",
  "bad-metadata": "its blob is sound, but what is recorded of it cannot be used, and no restore would take it",
} as const;
type FindingCode = keyof typeof findingCodes;
type Finding =
  | { readonly state: "sound"; readonly code: "sound"; readonly extracted: Extracted }
  | { readonly state: "bad" | "absent"; readonly code: FindingCode; readonly reason: string };

interface Verified {
  readonly subject: Subject;
  readonly finding: Finding;
}

interface All {
  readonly verified: readonly Verified[];
  readonly unreadable: readonly Unreadable[];
}

function countBad({ verified, unreadable }: All): number {
  return verified.filter(({ finding }) => finding.state === "bad").length + unreadable.length;
}

/** `restorer verify`: reads every blob that a cache's metadata names, by the rules of a restore. Exits with 42 where one is bad. */
export async function verify(desk: Desk): Promise<number> {
  const { word, rest } = takeCache(desk);
  const { cache, metadata } = await openNamedCache(desk, word);
  const layers = metadata === undefined ? [] : cachedLayers(metadata);
  const [wanted] = rest;
  const chosen = wanted === undefined ? layers : [chooseLayer(layers, wanted)];
  const subjects = chosen.map((one): Subject => {
    const { buildpack, layer, metadata, anchor } = one;
    const { sha, cache: isPromised } = metadata;
    const problem = isPromised ? metadataProblem(one) : undefined;
    return {
      name: layerName(one),
      sha,
      anchor,
      data: { buildpack, layer },
      isPromised,
      misnamed: nameProblem(one),
      problem,
    };
  });
  const sbom = wanted === undefined ? metadata?.sbom : undefined;
  if (sbom !== undefined) {
    subjects.push({ name: "SBOM files", sha: sbom, anchor: ["sbom"], data: { sbom: true }, isPromised: true });
  }
  const verified = await readAll(desk, cache, subjects);
  const isEmpty = metadata === undefined;
  const all = { verified, unreadable: wanted === undefined ? unreadable(metadata) : [] };
  if (desk.isJson) writeDocument(desk, "verify", asData(cache, isEmpty, all));
  else tell(desk, cache, isEmpty, all);
  return countBad(all) > 0 ? ExitCode.restoreFailed : ExitCode.ok;
}

/** Reads several blobs at once, the largest first; gives what came of them in the order of the subjects. */
async function readAll({ session }: Desk, cache: Cache, subjects: readonly Subject[]): Promise<Verified[]> {
  const { inputs, progress, signal } = session;
  const workers = new Workers();
  const stop = () => void workers.cancel();
  signal.addEventListener("abort", stop);
  const size = ({ sha }: Subject) => (sha !== undefined && isDigest(sha) ? cache.size(sha) : 0);
  const total = subjects.reduce((sum, subject) => sum + size(subject), 0);
  const findings = new Map<Subject, Finding>();
  progress.start(() => {
    const done = `${thousands(findings.size)} of ${count(subjects.length, "layer")}`;
    return `Verifying: ${done}, ${formatBytes(workers.progress * 1024)} of ${formatBytes(total)}`;
  });
  const queue = subjects.toSorted((a, b) => size(b) - size(a)).values();
  const place = { layersDir: inputs.layersDir, umask: session.umask };
  const work = async () => {
    for (const subject of queue) findings.set(subject, await read(workers, cache, subject, place));
  };
  try {
    await Promise.all(Array.from({ length: workers.limit }, work));
  } finally {
    progress.stop();
    signal.removeEventListener("abort", stop);
    await workers.cancel();
  }
  signal.throwIfAborted();
  return subjects.flatMap((subject) => {
    const finding = findings.get(subject);
    return finding === undefined ? [] : [{ subject, finding }];
  });
}

async function read(
  workers: Workers,
  cache: Cache,
  { sha, anchor, isPromised, misnamed, problem }: Subject,
  place: { readonly layersDir: string; readonly umask: number },
): Promise<Finding> {
  const absent = (code: FindingCode, reason: string): Finding =>
    isPromised
      ? { state: "bad", code, reason }
      : { state: "absent", code: "not-kept", reason: "cache=false, its contents are not kept here" };
  if (misnamed !== undefined) return { state: "bad", code: misnamed.code, reason: misnamed.text };
  if (sha === undefined) return absent("no-digest", digestProblem(sha));
  if (!isDigest(sha)) return { state: "bad", code: "bad-digest", reason: digestProblem(sha) };
  const outcome = await workers
    .extract({ ...place, anchor }, sha, () => cache.open(sha))
    .catch((error) => {
      if (error instanceof NotOpened) return error;
      throw error;
    });
  if (outcome instanceof NotOpened) return absent("blob-unavailable", describe(outcome.cause));
  if (outcome.ok && problem !== undefined) return { state: "bad", code: "bad-metadata", reason: problem };
  if (outcome.ok) return { state: "sound", code: "sound", extracted: outcome.extracted };
  if (outcome.fault === "thread") throw threadFailed(outcome.message);
  return { state: "bad", code: "blob-unusable", reason: outcome.message };
}

const colors: Readonly<Record<Finding["state"], Color>> = { sound: "green", bad: "red", absent: "dim" };

function tell(desk: Desk, cache: Cache, isEmpty: boolean, all: All): void {
  const { verified, unreadable } = all;
  const columns = [
    { title: "STATE" },
    { title: "LAYER" },
    { title: "FILES", align: "right" },
    { title: "UNPACKED", align: "right" },
    { title: "DIGEST" },
    { title: "WHY" },
  ] as const;
  if (isEmpty) desk.line(`The ${cache.name} holds nothing yet.`);
  if (verified.length > 0) {
    desk.table(
      columns,
      verified.map(({ subject: { name, sha }, finding }): Cell[] => [
        { text: finding.state, color: colors[finding.state] },
        name,
        finding.state === "sound" ? desk.count(finding.extracted.files) : "-",
        finding.state === "sound" ? desk.size(finding.extracted.bytes) : "-",
        desk.digest(sha),
        finding.state === "sound" ? "" : desk.message(finding.reason),
      ]),
    );
  }
  if (unreadable.length > 0) desk.line();
  for (const { text } of unreadable) desk.line(desk.message(text));
  const bad = countBad({ verified, unreadable: [] });
  const entries =
    unreadable.length === 0 ? "" : `; ${count(unreadable.length, "entry", "entries")} of the metadata cannot be used`;
  desk.line(`\n${count(verified.length, "blob")} named, ${bad === 0 ? "none bad" : `${thousands(bad)} bad`}${entries}`);
}

function asData(cache: Cache, isEmpty: boolean, all: All): Found<"verify"> {
  return {
    cache: cache.facts(),
    isEmpty,
    layers: all.verified.map(({ subject: { data, sha }, finding }) => ({
      ...data,
      state: finding.state,
      code: finding.code,
      sha: sha ?? null,
      ...(finding.state === "sound"
        ? { files: finding.extracted.files, bytes: finding.extracted.bytes }
        : { reason: finding.reason }),
    })),
    unreadable: [...all.unreadable],
    bad: countBad(all),
  };
}
