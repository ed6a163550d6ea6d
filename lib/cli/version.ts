import { version as packageVersion } from "../../package.json";

declare const RESTORER_COMMIT: string | undefined;

/** `0.1.0+<commit>`; the commit is baked in by the build. */
export const version =
  typeof RESTORER_COMMIT === "string" && RESTORER_COMMIT !== ""
    ? `${packageVersion}+${RESTORER_COMMIT}`
    : packageVersion;
