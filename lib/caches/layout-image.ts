import { closeSync, createReadStream, existsSync, lstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { BlobError } from "../archive/blob-file.ts";
import type { BlobFile } from "../archive/source.ts";
import type { User } from "../disk/permissions.ts";
import { NotAFile } from "../disk/read-file.ts";
import { describe, hasCode } from "../errors.ts";
import { layoutBlobPath, layoutTags, openLayoutImage } from "../images/layout.ts";
import type { Layer } from "../oci/manifest.ts";
import { parseLayoutReference } from "../oci/reference.ts";
import { count, quote, thousands } from "../text.ts";
import { type BlobProblem, type CacheBlob, CacheError } from "./cache.ts";
import { HeldBlobs, openBlobFile, outOfReach } from "./held-blobs.ts";
import { cannotRead, type FoundImage, type ImagePlace, type StoredBytes } from "./image.ts";
import { describeOtherLayout } from "./other-directory.ts";

/** A cache image in an OCI layout on disk (OCI image specification, "Image Layout"). */
export class LayoutImage implements ImagePlace {
  readonly kind = "layout";
  readonly reference: string;
  readonly #dir: string;
  readonly #tag: string | undefined;
  readonly #held = new HeldBlobs();

  constructor(reference: string) {
    this.reference = reference;
    const { dir, tag } = parseLayoutReference(reference) ?? { dir: "" };
    this.#dir = dir;
    this.#tag = tag;
  }

  get #name(): string {
    return `cache image ${quote(this.reference)}`;
  }

  async find(): Promise<FoundImage | undefined> {
    if (this.#dir === "") throw cannotRead(this.#name, "expected oci:DIR or oci:DIR:TAG", undefined);
    if (!existsSync(this.#dir)) return undefined;
    try {
      if (!statSync(this.#dir).isDirectory()) throw new Error("it is not a directory");
      if (lstatSync(join(this.#dir, "index.json"), { throwIfNoEntry: false }) === undefined) {
        const other = describeOtherLayout(this.#dir);
        if (other !== undefined) throw new Error(`is not an OCI image layout: ${other}`);
        return undefined;
      }
      const image = await openLayoutImage(this.#dir, this.#tag);
      if (image !== undefined) return image;
      const tags = layoutTags(this.#dir);
      throw new Error(`no image has the tag ${quote(this.#tag ?? "")}${tags === undefined ? "" : describeTags(tags)}`);
    } catch (error) {
      throw cannotRead(this.#name, describe(error), error);
    }
  }

  isThere(): boolean {
    return existsSync(this.#dir);
  }

  /** Opens while privileges allow it what a user could not open later. */
  openAhead(layers: readonly Layer[], user: User): void {
    const isOutOfReach = outOfReach(user, join(this.#dir, "blobs", "sha256"));
    for (const { digest } of layers) {
      const path = layoutBlobPath(this.#dir, digest);
      const place = { path, at: path };
      if (isOutOfReach(place)) this.#held.hold(digest, place);
    }
  }

  look(layer: Layer): Pick<CacheBlob, "size" | "problem"> | undefined {
    const path = layoutBlobPath(this.#dir, layer.digest);
    const held = this.#held.get(layer.digest);
    try {
      const { fd, size, isSecret = false } = held ?? openBlobFile({ path, at: path });
      if (held === undefined) closeSync(fd);
      return { size, problem: misfit(layer, size, isSecret) };
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      if (error instanceof NotAFile) return { size: 0, problem: { code: "blob-unavailable", text: error.message } };
      // Reading it will tell.
      return { size: layer.size };
    }
  }

  blob(layer: Layer): StoredBytes {
    const file = this.#held.get(layer.digest) ?? openBlob(layoutBlobPath(this.#dir, layer.digest));
    return { chunks: chunksOf(layer, file), isSecret: file.isSecret ?? false };
  }
}

function describeTags(tags: readonly string[]): string {
  return tags.length === 0 ? ", none has a tag" : `, only ${tags.map(quote).join(", ")}`;
}

function openBlob(path: string): BlobFile {
  try {
    const { stat: _, ...file } = openBlobFile({ path, at: path });
    return file;
  } catch (error) {
    throw new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}`, { cause: error });
  }
}

async function* chunksOf(layer: Layer, file: BlobFile): AsyncIterable<Uint8Array> {
  const { fd, size, isSecret = false, staysOpen = false } = file;
  const problem = misfit(layer, size, isSecret);
  if (problem !== undefined) {
    if (!staysOpen) closeSync(fd);
    throw new BlobError(problem.text);
  }
  try {
    yield* createReadStream("", { fd, start: 0, autoClose: !staysOpen, highWaterMark: 512 * 1024 });
  } catch (error) {
    throw new BlobError(`it cannot be read: ${describe(error)}`, { cause: error });
  }
}

/** Why what lies at the place of a layer's blob is not that; undefined where it may be. */
function misfit({ digest, size }: Layer, found: number, isHidden: boolean): BlobProblem | undefined {
  if (found === size) return undefined;
  const has = isHidden ? "another size" : count(found, "byte");
  return { code: "blob-unusable", text: `its blob ${digest} has ${has} where the image says ${thousands(size)}` };
}
