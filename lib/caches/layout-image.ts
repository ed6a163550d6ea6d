import { closeSync, createReadStream, existsSync, fstatSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { BlobError } from "../archive/blob-file.ts";
import { NotOpened } from "../archive/source.ts";
import { isSecret, NotAFile, openFile } from "../disk/read-file.ts";
import type { User } from "../disk/user.ts";
import { describe } from "../errors.ts";
import { layoutBlobPath, layoutTags, openLayoutImage } from "../images/layout.ts";
import type { Layer } from "../oci/manifest.ts";
import { parseLayoutReference } from "../oci/reference.ts";
import { count, quote, thousands } from "../text.ts";
import { type BlobProblem, type CacheBlob, CacheError } from "./cache.ts";
import { HeldBlobs, outOfReach } from "./held-blobs.ts";
import { cannotRead, type FoundImage, type ImagePlace } from "./image.ts";
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
      if (!statSync(this.#dir).isDirectory()) throw new Error("is not a directory");
      if (!existsSync(join(this.#dir, "index.json"))) {
        const other = describeOtherLayout(this.#dir);
        if (other !== undefined) throw new Error(`is not an OCI image layout: ${other}`);
        return undefined;
      }
      const image = await openLayoutImage(this.#dir, this.#tag);
      if (image !== undefined) return image;
      const tags = layoutTags(this.#dir);
      const others = tags.length === 0 ? "none has a tag" : `only ${tags.map(quote).join(", ")}`;
      throw new Error(`no image has the tag ${quote(this.#tag ?? "")}, ${others}`);
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
    try {
      const fd = this.#held.get(layer.digest)?.fd;
      const stat = fd === undefined ? statSync(path, { throwIfNoEntry: false }) : fstatSync(fd);
      return stat && { size: stat.isFile() ? stat.size : 0, problem: misfit(layer, path, stat) };
    } catch {
      // Reading it will tell.
      return { size: layer.size };
    }
  }

  async *chunks(layer: Layer): AsyncIterable<Uint8Array> {
    const path = layoutBlobPath(this.#dir, layer.digest);
    const opened = this.#held.get(layer.digest);
    let fd: number;
    try {
      fd = opened?.fd ?? openFile(path);
    } catch (error) {
      throw new NotOpened(
        new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}`, { cause: error }),
      );
    }
    const problem = misfit(layer, path, fstatSync(fd));
    if (problem !== undefined) {
      if (opened === undefined) closeSync(fd);
      throw new BlobError(problem.text);
    }
    try {
      yield* createReadStream("", { fd, start: 0, autoClose: opened === undefined, highWaterMark: 512 * 1024 });
    } catch (error) {
      throw new BlobError(`it cannot be read: ${describe(error)}`, { cause: error });
    }
  }
}

/** Why what lies at the place of a layer's blob is not that; undefined where it may be. */
function misfit({ digest, size }: Layer, path: string, stat: Stats): BlobProblem | undefined {
  if (!stat.isFile()) return { code: "blob-unavailable", text: new NotAFile(stat.isDirectory()).message };
  if (stat.size === size) return undefined;
  const has = isSecret(stat, path) ? "another size" : count(stat.size, "byte");
  return { code: "blob-unusable", text: `its blob ${digest} has ${has} where the image says ${thousands(size)}` };
}
