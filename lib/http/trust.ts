import { X509Certificate } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { readWhole } from "../disk/read-file.ts";
import { orAsSecondUser } from "../disk/second-user.ts";
import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import { namedPath } from "../text.ts";
import { TransportError } from "./errors.ts";

/** Where distributions keep the certificates they trust; the first that exists counts (as in Go's crypto/x509). */
const systemFiles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Bytes of a file of certificates; a whole system's are a quarter of a MiB. */
const maximumBytes = 32 * 1024 * 1024;

/** The certificates that are trusted. */
export interface Trust {
  /** Made when first asked for. Given to a request it replaces Bun's own list, hence Mozilla's in it. */
  list(): string[];
  /** The variables that certificates came from, with what they name, for people; undefined where none did. */
  readonly named: string | undefined;
  /** Why no connection can be made at all. */
  readonly obstacle: TransportError | undefined;
}

/**
 * Reads the certificates to trust, now, as the files may be closed to the user we become: Mozilla's, which are built in, and
 * those of SSL_CERT_FILE (else of the system) and of every file in the directories SSL_CERT_DIR (separated by colons). What
 * is named there, but holds none, is told.
 */
export function readTrust(env: Readonly<Record<string, string | undefined>>, log: Log): Trust {
  const file = env.SSL_CERT_FILE || undefined;
  const directories = env.SSL_CERT_DIR || undefined;
  const given: Given[] = [
    ...(file === undefined ? [] : [{ name: namedPath("SSL_CERT_FILE", file), texts: readLoudly(file, log) }]),
    ...(directories === undefined
      ? []
      : [{ name: namedPath("SSL_CERT_DIR", directories), texts: readDirectories(directories, log) }]),
  ];
  const good = given.filter((one) => isUseful(one, log));
  const system = file === undefined ? systemFiles.map(readQuietly).find((text) => text !== undefined) : undefined;
  const texts = [system ?? "", ...good.flatMap((one) => one.texts ?? [])];
  let list: string[] | undefined;
  return {
    list() {
      list ??= [...new Set([...rootCertificates, ...texts.flatMap(certificates)])];
      return list;
    },
    obstacle: whyNone(file),
    named: good.length === 0 ? undefined : good.map(({ name }) => name).join(" and "),
  };
}

/** Why no connection may be made: the runtime opens SSL_CERT_FILE by itself, and at a fifo would wait for a writer. */
function whyNone(file: string | undefined): TransportError | undefined {
  if (file === undefined || !isFifo(file)) return undefined;
  const hint = "Name a file that holds PEM certificates, or unset SSL_CERT_FILE.";
  return new TransportError(
    "Certificates",
    `${namedPath("SSL_CERT_FILE", file)} is a fifo: reading it may never end`,
    hint,
  );
}

function isFifo(path: string): boolean {
  try {
    return orAsSecondUser(() => statSync(path)).isFIFO();
  } catch {
    // Reading it will tell.
    return false;
  }
}

/** What somebody named for us. */
interface Given {
  readonly name: string;
  /** Undefined where it cannot be read, which was told. */
  readonly texts: readonly string[] | undefined;
}

function isUseful({ name, texts }: Given, log: Log): boolean {
  if (texts === undefined) return false;
  if (texts.some((text) => blocksIn(text).some(isReadable))) return true;
  log.warn(
    `${name} holds no PEM certificate: no further authority is trusted. One in DER must be converted to PEM first.`,
    "certificates",
  );
  return false;
}

function readQuietly(path: string): string | undefined {
  try {
    return readWhole(path, maximumBytes).toString("latin1");
  } catch {
    return undefined;
  }
}

function readLoudly(path: string, log: Log): string[] | undefined {
  try {
    return [readWhole(path, maximumBytes).toString("latin1")];
  } catch (error) {
    log.warn(`Not using the certificates of ${namedPath("SSL_CERT_FILE", path)}: ${describe(error)}`, "certificates");
    return undefined;
  }
}

/** Undefined where none of them can be read. */
function readDirectories(paths: string, log: Log): string[] | undefined {
  const read = paths
    .split(":")
    .filter((path) => path !== "")
    .map((path) => readDirectory(path, log));
  return read.every((texts) => texts === undefined) ? undefined : read.flatMap((texts) => texts ?? []);
}

function readDirectory(directory: string, log: Log): string[] | undefined {
  try {
    const entries = orAsSecondUser(() => readdirSync(directory, { withFileTypes: true }));
    const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
    return files.map(({ name }) => readQuietly(join(directory, name)) ?? "");
  } catch (error) {
    log.warn(
      `Not using the certificates of ${namedPath("SSL_CERT_DIR", directory)}: ${describe(error)}`,
      "certificates",
    );
    return undefined;
  }
}

/** The certificates in a PEM text that can be read: one that cannot would make every connection fail. */
function certificates(text: string): string[] {
  return blocksIn(text).flatMap((block) => {
    try {
      return [new X509Certificate(block).toString()];
    } catch {
      return [];
    }
  });
}

function blocksIn(text: string): string[] {
  return text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
}

function isReadable(block: string): boolean {
  return certificates(block).length > 0;
}
