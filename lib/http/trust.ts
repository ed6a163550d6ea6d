import { X509Certificate } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { readWhole } from "../disk/read-file.ts";
import { orAsSecondUser } from "../disk/second-user.ts";
import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";

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

/**
 * Reads the certificates to trust, now, as the files may be closed to the user we become. The list is made when first
 * asked for: Mozilla's, which are built in, and those of SSL_CERT_FILE (else of the system) and of every file in the
 * directories SSL_CERT_DIR (separated by colons). The list given to a request replaces Bun's own, hence Mozilla's in it.
 */
export function readTrust(env: Readonly<Record<string, string | undefined>>, log: Log): () => string[] {
  const own = env.SSL_CERT_FILE || undefined;
  const texts =
    own === undefined ? systemFiles.map(readQuietly).find((text) => text !== undefined) : readLoudly(own, log);
  const directories = (env.SSL_CERT_DIR ?? "").split(":").filter((path) => path !== "");
  const parts = [texts ?? "", ...directories.flatMap((directory) => readDirectory(directory, log))];
  let list: string[] | undefined;
  return () => {
    list ??= [...new Set([...rootCertificates, ...parts.flatMap(certificates)])];
    return list;
  };
}

function readQuietly(path: string): string | undefined {
  try {
    return readWhole(path, maximumBytes).toString("latin1");
  } catch {
    return undefined;
  }
}

function readLoudly(path: string, log: Log): string | undefined {
  try {
    return readWhole(path, maximumBytes).toString("latin1");
  } catch (error) {
    log.warn(`Not using the certificates of SSL_CERT_FILE ${quote(path)}: ${describe(error)}`, "certificates");
    return undefined;
  }
}

function readDirectory(directory: string, log: Log): string[] {
  try {
    const entries = orAsSecondUser(() => readdirSync(directory, { withFileTypes: true }));
    const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
    return files.map(({ name }) => readQuietly(join(directory, name)) ?? "");
  } catch (error) {
    log.warn(`Not using the certificates of SSL_CERT_DIR ${quote(directory)}: ${describe(error)}`, "certificates");
    return [];
  }
}

/** The certificates in a PEM text that can be read: one that cannot would make every connection fail. */
function certificates(text: string): string[] {
  const blocks =
    text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block).toString()];
    } catch {
      return [];
    }
  });
}
