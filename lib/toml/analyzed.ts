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
  type Stats,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { privateName } from "../disk/staging.ts";
import { describe, ExitCode, errorCode, RestorerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { type ImageMetadata, noMetadata, toImageMetadata } from "./metadata.ts";
import { explainFile } from "./problem.ts";
import { formatToml, readToml } from "./toml.ts";
import { isTable, type TomlTable } from "./values.ts";

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
    log.warn(`Not using analyzed data, no usable file at ${explainFile(path, error)}`);
    return undefined;
  }
}

/**
 * Writes analyzed.toml anew (contract §2): a temporary file beside it, synced and renamed, with the mode and owner of the
 * old one; in place where it is a link or a mount point. A link that leads out of `layersDir` is replaced, not followed.
 * Throws RestorerErrors (exit 42).
 */
export function writeAnalyzed(path: string, table: TomlTable, layersDir: string, umask: number): void {
  const content = Buffer.from(formatToml(table));
  try {
    const standing = lstatSync(path, { throwIfNoEntry: false });
    if (standing?.isSymbolicLink() === true && mayFollow(path, layersDir)) overwrite(path, content, 0);
    else replace(path, content, standing?.isFile() === true ? standing : undefined, umask);
  } catch (error) {
    throw new RestorerError(`write analyzed metadata ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.restore,
      cause: error,
      hint: "Its directory must be writable for the user the restorer runs as.",
    });
  }
}

/** Puts a new file in the place of the old one, with its mode and owner; overwrites it where that is impossible. */
function replace(path: string, content: Buffer, old: Stats | undefined, umask: number): void {
  const temporary = join(dirname(path), privateName());
  const fd = createBeside(temporary, old !== undefined);
  if (fd === undefined) {
    overwrite(path, content, constants.O_NOFOLLOW);
    return;
  }
  try {
    try {
      writeFileSync(fd, content);
      if (old !== undefined) keepOwner(fd, old);
      fchmodSync(fd, old === undefined ? 0o666 & ~umask : old.mode & 0o7777);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (old === undefined || !["EBUSY", "EXDEV"].includes(errorCode(error) ?? "")) throw error;
    overwrite(path, content, constants.O_NOFOLLOW);
  }
}

/** Makes the temporary file; undefined where its directory forbids that, but there is a file to overwrite. */
function createBeside(temporary: string, canOverwrite: boolean): number | undefined {
  try {
    return openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    if (canOverwrite && ["EACCES", "EPERM", "EROFS"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}

function keepOwner(fd: number, old: Stats): void {
  try {
    fchownSync(fd, old.uid, old.gid);
  } catch (error) {
    // Only root may give a file away; then it belongs to the user this runs as.
    if (errorCode(error) !== "EPERM") throw error;
  }
}

/** Writes into a file that stands; shortened last, so that a full disk is met before anything is lost. */
function overwrite(path: string, content: Buffer, flags: number): void {
  const fd = openSync(path, constants.O_WRONLY | flags);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at, at);
    ftruncateSync(fd, content.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A link is followed where the platform put it (outside of the layers directory), or where it stays inside. */
export function mayFollow(path: string, layersDir: string): boolean {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const layers = `${realpathSync(layersDir)}/`;
  return !`${realpathSync(dirname(path))}/`.startsWith(layers) || realpathSync(path).startsWith(layers);
}
