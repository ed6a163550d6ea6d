import { closeSync } from "node:fs";

/** Where the bytes of a layer come from: an open file, or a stream. Whoever extracts it verifies the layer's diffID. */
export type LayerSource =
  | (BlobFile & { readonly kind: "file" })
  | {
      readonly kind: "stream";
      /** They throw a NotOpened where it turns out that there are none. */
      readonly chunks: AsyncIterable<Uint8Array>;
      /** How often something of it had to be asked for again, so far. */
      readonly retries?: () => number;
      /** Bytes of the blob as stored. */
      readonly size: number;
      /** Digest of the blob as stored, to be verified beside the diffID. */
      readonly digest: string;
      /** As of a file. */
      readonly isSecret?: boolean;
    };

/** A blob that cannot be had, since it is missing, or may not be read; the cause says which. */
export class NotOpened extends Error {
  override readonly name = "NotOpened";

  constructor(cause: unknown) {
    super("open a blob", { cause });
  }
}

/** A blob in an open file. */
export interface BlobFile {
  readonly fd: number;
  readonly size: number;
  /** For messages only. */
  readonly path: string;
  /** Whether nothing of what is found in it may be told, its digest included (`isSecret` of lib/disk/read-file.ts). */
  readonly isSecret?: boolean;
  /** Whether it may be wanted again, for another layer: then whoever reads it leaves it open. */
  readonly staysOpen?: boolean;
}

/** Bytes of a blob that is extracted at once in less time than it takes to tell two threads of it. */
export const smallBytes = 32 * 1024;

/** A small blob that is at hand. */
export type SmallSource = BlobFile & { readonly kind: "file" };

/** Whether a blob is extracted at once, see `smallBytes`. */
export function isSmall(source: LayerSource): source is SmallSource {
  return source.kind === "file" && source.size <= smallBytes;
}

/** Closes what a source has open, unless it may be wanted again. A stream ends by itself. */
export function closeSource(source: LayerSource): void {
  if (source.kind === "file" && source.staysOpen !== true) closeSync(source.fd);
}
