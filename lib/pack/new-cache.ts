import { closeSync } from "node:fs";
import { liesIn } from "../disk/cache-places.ts";
import { Directory } from "../disk/directory.ts";
import { makeDirectories, unmakeDirectory } from "../disk/make-directories.ts";
import { writeAll } from "../disk/write.ts";
import { describeRefusal } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import { type Packed, type PackJob, packLayer } from "./pack-layer.ts";
import { PackError } from "./tree-reader.ts";

/** The file of a volume cache that says what it holds. */
const metadataName = "io.buildpacks.lifecycle.cache.metadata";
const stagingName = "staging";
const unnamed = "packing";

/** Where none is made, and what to do instead. */
const refusals = {
  "in-layers": { why: "it lies in the layers directory", hint: "Name a directory outside of the layers directory." },
  "cache-not-empty": {
    why: "it is not empty",
    hint: "Name a directory that does not exist yet, or one that is empty.",
  },
} as const;

/**
 * A volume cache in the making (contract §4): everything comes to be in `staging`, which becomes `committed` when it is whole, as
 * an exporter does it. Methods throw RestorerErrors where it cannot be written.
 */
export class NewCache {
  readonly #path: string;
  #isNew = false;
  readonly #cache: Directory;
  readonly #staging: Directory;

  /** Makes the directory where there is none. Throws a RestorerError where it holds anything, or lies in the layers directory. */
  constructor(path: string, layers: Directory) {
    this.#path = path;
    this.#cache = this.#write(() => {
      this.#isNew = makeDirectories(path, 0o777);
      return Directory.open(path, path, true);
    });
    if (liesIn(this.#cache, [layers.identity])) throw this.#refuse("in-layers");
    if (this.#cache.names().length > 0) throw this.#refuse("cache-not-empty");
    try {
      this.#cache.make(stagingName, 0o777);
      this.#staging = this.#cache.open(stagingName);
    } catch (error) {
      this.#removeIfNew();
      throw this.#failed(error);
    }
  }

  /** Packs a layer into it. Throws a PackError where that fails for the layer's sake. */
  async add(job: PackJob): Promise<Packed> {
    const fd = this.#write(() => this.#staging.createFile(unnamed, 0o666));
    try {
      const packed = await packLayer({ ...job, fd });
      this.#staging.move(unnamed, this.#staging, `${packed.diffId}.tar`);
      return packed;
    } catch (error) {
      this.#staging.unlink(unnamed);
      job.signal.throwIfAborted();
      throw error instanceof PackError ? error : this.#failed(error);
    } finally {
      closeSync(fd);
    }
  }

  /** Ends it, with the text of its metadata. */
  commit(metadata: string): void {
    this.#write(() => {
      const fd = this.#staging.createFile(metadataName, 0o666);
      try {
        writeAll(fd, Buffer.from(metadata));
      } finally {
        closeSync(fd);
      }
      this.#cache.move(stagingName, this.#cache, "committed");
    });
  }

  /** Takes away what there is of it, where it does not come to an end; its directory, too, if that was made for it. */
  discard(): void {
    this.#write(() => {
      for (const name of this.#staging.names()) this.#staging.unlink(name);
      this.#cache.removeEmpty(stagingName);
    });
    this.#removeIfNew();
  }

  #removeIfNew(): void {
    if (this.#isNew) unmakeDirectory(this.#path);
  }

  close(): void {
    this.#staging.close();
    this.#cache.close();
  }

  #write<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): RestorerError {
    return new RestorerError(`make cache ${quote(this.#path)}: ${describeRefusal(error)}`, {
      code: "cache-not-writable",
      cause: error,
      hint: "Name a directory that can be made, or written, with room for all layers.",
    });
  }

  #refuse(code: keyof typeof refusals): RestorerError {
    this.#cache.close();
    this.#removeIfNew();
    const { why, hint } = refusals[code];
    return new RestorerError(`make cache ${quote(this.#path)}: ${why}`, { code, hint });
  }
}
