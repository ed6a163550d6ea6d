/**
 * Certificates for registries of tests, on 127.0.0.1 and localhost, good from 2020 to 2120: `server`, signed by `authority`
 * (whose key nobody has), and `alone`, signed by itself. Signed by themselves are also those that are wrong: `expired` in 2021,
 * `future` from 2100 on, and `elsewhere` for registry.example.com. `clouds` is for names of clouds' registries and servers.
 * They are files, so that no test needs openssl.
 */
import { join } from "node:path";

const path = (name: string): string => join(import.meta.dir, "certificates", name);

/** Paths of PEM files. */
export const certificates = {
  authority: path("authority.pem"),
  server: { cert: path("server.pem"), key: path("server.key") },
  alone: { cert: path("alone.pem"), key: path("alone.key") },
  expired: { cert: path("expired.pem"), key: path("expired.key") },
  future: { cert: path("future.pem"), key: path("future.key") },
  elsewhere: { cert: path("elsewhere.pem"), key: path("elsewhere.key") },
  clouds: { cert: path("clouds.pem"), key: path("clouds.key") },
} as const;
