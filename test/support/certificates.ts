/**
 * Certificates for registries of tests, on 127.0.0.1 and localhost, good from 2020 to 2120: `server`, signed by `authority`
 * (whose key nobody has), and `alone`, signed by itself. They are files, so that no test needs openssl.
 */
import { join } from "node:path";

const path = (name: string): string => join(import.meta.dir, "certificates", name);

/** Paths of PEM files. */
export const certificates = {
  authority: path("authority.pem"),
  server: { cert: path("server.pem"), key: path("server.key") },
  alone: { cert: path("alone.pem"), key: path("alone.key") },
} as const;
