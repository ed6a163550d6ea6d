import { readSync } from "node:fs";
import { describe } from "../errors.ts";
import type { ReadChunk } from "./ring.ts";

/** A blob that cannot be used. */
export class BlobError extends Error {
  override readonly name = "BlobError";
}

/** Reads an open blob by position, so that several threads may; throws BlobErrors. */
export function fileReader(fd: number): ReadChunk {
  return (into, position) => {
    try {
      return readSync(fd, into, 0, into.length, position);
    } catch (error) {
      throw new BlobError(`it cannot be read: ${describe(error)}`);
    }
  };
}
