import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { describe, ExitCode, errorCode, RestorerError } from "./errors.ts";
import { explain } from "./group.ts";
import { type Log, quote } from "./log.ts";
import { type ImageMetadata, noMetadata, toImageMetadata } from "./metadata.ts";
import { formatToml, isTable, readToml, type TomlTable } from "./toml.ts";

const text = v.optional(v.string(), "");
const identifier = v.optional(v.object({ reference: text }));

const analyzedSchema = v.object({
  image: identifier,
  "build-image": identifier,
  "run-image": v.optional(
    v.object({
      reference: text,
      image: text,
      extend: v.optional(v.boolean(), false),
      target: v.optional(v.object({ id: text, os: text, arch: text, "arch-variant": text })),
    }),
  ),
  metadata: v.optional(v.custom<TomlTable>(isTable, "Invalid type: Expected a table")),
});

/** What analyzed.toml says of the run image. */
export interface RunImage {
  readonly reference: string;
  readonly image: string;
  readonly extend: boolean;
  /** Operating system of the target, or empty when target data is missing. */
  readonly targetOs: string;
}

/** What the analyzer found out (Platform API, analyzed.toml). */
export interface Analyzed {
  readonly path: string;
  /** Whether there is such a file. */
  readonly exists: boolean;
  /** Everything in the file; keys unknown to us are kept when it is rewritten (D18). */
  readonly table: TomlTable;
  /** Layer metadata of the app image. */
  readonly metadata: ImageMetadata;
  readonly runImage: RunImage | undefined;
}

/**
 * Reads analyzed.toml. A missing file is empty, with a warning; one that cannot be used is undefined, with a warning, and
 * must then be left as it is.
 */
export function readAnalyzed(path: string, log: Log): Analyzed | undefined {
  try {
    const table = readToml(path);
    const { metadata, "run-image": run } = v.parse(analyzedSchema, table);
    const runImage = run && {
      reference: run.reference,
      image: run.image,
      extend: run.extend,
      targetOs: run.target?.os ?? "",
    };
    const layers = metadata === undefined ? noMetadata : toImageMetadata(metadata);
    return { path, exists: true, table, metadata: layers, runImage };
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      log.warn(`No analyzed metadata found at path ${quote(path)}`);
      return { path, exists: false, table: {}, metadata: noMetadata, runImage: undefined };
    }
    log.warn(`Not using analyzed data, no usable file at ${quote(path)}: ${explain(error)}`);
    return undefined;
  }
}

/**
 * Writes analyzed.toml anew (contract §2): a temporary file beside it, synced and renamed, with the mode and owner of the
 * old one; in place where it is a link or a mount point. A link that leads out of `layersDir` is replaced, not followed.
 * Throws RestorerErrors (exit 42).
 */
export function writeAnalyzed(path: string, table: TomlTable, layersDir: string, umask: number): void {
  const content = formatToml(table);
  try {
    const standing = lstatSync(path, { throwIfNoEntry: false });
    if (standing?.isSymbolicLink() === true && mayFollow(path, layersDir)) {
      overwrite(path, content);
      return;
    }
    const old = standing?.isFile() === true ? standing : undefined;
    const temporary = join(dirname(path), `.restorer-analyzed-${process.pid}`);
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      writeFileSync(fd, content);
      if (old !== undefined) keepOwner(fd, old);
      fchmodSync(fd, old === undefined ? 0o666 & ~umask : old.mode & 0o7777);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    try {
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      if (old === undefined || !["EBUSY", "EXDEV"].includes(errorCode(error) ?? "")) throw error;
      overwrite(path, content);
    }
  } catch (error) {
    throw new RestorerError(`write analyzed metadata ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.restore,
      cause: error,
      hint: "Its directory must be writable for the user the restorer runs as.",
    });
  }
}

function keepOwner(fd: number, old: { uid: number; gid: number }): void {
  try {
    fchownSync(fd, old.uid, old.gid);
  } catch (error) {
    // Only root may give a file away; then it belongs to the user this runs as.
    if (errorCode(error) !== "EPERM") throw error;
  }
}

function overwrite(path: string, content: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    ftruncateSync(fd, 0);
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A link is followed where the platform put it (outside of the layers directory), or where it stays inside. */
function mayFollow(path: string, layersDir: string): boolean {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const layers = `${realpathSync(layersDir)}/`;
  return !`${realpathSync(dirname(path))}/`.startsWith(layers) || realpathSync(path).startsWith(layers);
}
