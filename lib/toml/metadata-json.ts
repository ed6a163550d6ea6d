import { limits } from "../limits.ts";
import { count } from "../text.ts";
import { type ByteSource, bytesInMemory } from "./byte-source.ts";
import { parseAsWritten } from "./json.ts";
import { JsonOutline } from "./json-outline.ts";
import { dataOfPart, dataOfParts, readPart, toPart } from "./layer-data.ts";
import { type ImageMetadata, noMetadata, toImageMetadata } from "./metadata.ts";
import type { TomlValue } from "./values.ts";

/** The members of a layer are in four objects and an array: the root, `buildpacks`, one of them, `layers`, one of them. */
const memberDepth = 5;
/** Bytes that are read at a time. */
const chunkBytes = 1024 * 1024;
/** Bytes of a layer's digest, or of what stands there. */
const memberBytes = 1000;

/**
 * Reads metadata that is JSON: the label of an app image or of a cache image. `null` means none. Layers' own data is parsed
 * when it is needed. Throws Errors that say what is wrong.
 */
export function parseMetadata(bytes: Uint8Array): ImageMetadata {
  const steps = readingMetadata(bytesInMemory(bytes));
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}

/**
 * As `parseMetadata`, of a text that may be large, such as a volume cache's: `pause` is awaited every now and then. The
 * source must stay open as long as layers' data may be read.
 */
export async function readMetadata(source: ByteSource, pause: () => Promise<void>): Promise<ImageMetadata> {
  const steps = readingMetadata(source);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    await pause();
  }
}

/** Judges the whole text (D24), but parses only what it says beside the layers' own data. */
function* readingMetadata(source: ByteSource): Generator<undefined, ImageMetadata> {
  const outline = new JsonOutline(memberDepth);
  for (let start = 0; start < source.size; start += chunkBytes) {
    outline.write(source.read(start, Math.min(source.size, start + chunkBytes)));
    judge(outline);
    yield;
  }
  // With its nulls, so that places are those of the text.
  const raw = parseAsWritten(outline.bytes);
  if (raw === null) return noMetadata;
  const budget = new Budget();
  const metadata = toImageMetadata(raw, {
    member: (value) => readMember(source, value),
    data: (value) => {
      budget.spend(value);
      return dataOfPart(source, value);
    },
    store: (value) => dataOfParts(source, value),
  });
  // Found here, where there are pauses: the plan makes none.
  for (const { layers } of metadata.buildpacks) {
    for (const { data } of layers.values()) {
      data.execEnv();
      yield;
    }
  }
  return metadata;
}

/** Throws an Error where there is more of something than in any real cache. */
function judge({ keptPieces, bytes }: JsonOutline): void {
  const { outlinePieces, outlineBytes } = limits;
  const beside = "beside the layers' own data";
  if (keptPieces > outlinePieces) throw tooMuch(count(outlinePieces, "value"), ` ${beside}`);
  if (bytes.length > outlineBytes) throw tooMuch(count(outlineBytes, "byte"), ` ${beside}`);
}

/** What the data of all layers may hold, but for layers that are refused as they hold too much by themselves. */
class Budget {
  #pieces = 0;

  spend(value: TomlValue): void {
    const pieces = toPart(value)?.pieces ?? 0;
    if (pieces <= limits.dataPieces) this.#pieces += pieces;
    if (this.#pieces > limits.metadataPieces) throw tooMuch(count(limits.metadataPieces, "value"));
  }
}

function tooMuch(allowed: string, where = ""): Error {
  return new Error(`holds more than the ${allowed}${where} that are allowed`);
}

/** A digest or type that the outline left out: an array or an object, which it may not be, or an unusually long string. */
function readMember(source: ByteSource, value: TomlValue): TomlValue {
  const part = toPart(value);
  return part === undefined || part.end - part.start > memberBytes ? value : readPart(source, part);
}
