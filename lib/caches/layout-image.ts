import { createReadStream, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { openFile } from "../disk/read-file.ts";
import type { User } from "../disk/user.ts";
import { describe } from "../errors.ts";
import { layoutBlobPath, layoutTags, openLayoutImage } from "../images/layout.ts";
import type { Layer } from "../oci/manifest.ts";
import { parseLayoutReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { CacheError } from "./cache.ts";
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

  holds({ digest }: Layer): boolean {
    if (this.#held.get(digest) !== undefined) return true;
    try {
      return statSync(layoutBlobPath(this.#dir, digest), { throwIfNoEntry: false }) !== undefined;
    } catch {
      // Reading it will tell.
      return true;
    }
  }

  async *chunks({ digest }: Layer): AsyncIterable<Uint8Array> {
    const path = layoutBlobPath(this.#dir, digest);
    const opened = this.#held.get(digest);
    let fd: number;
    try {
      fd = opened?.fd ?? openFile(path);
    } catch (error) {
      throw new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}`, { cause: error });
    }
    yield* createReadStream("", { fd, start: 0, autoClose: opened === undefined, highWaterMark: 512 * 1024 });
  }
}
