import type { CloudTiming } from "../cloud/requests.ts";
import type { Credential } from "./credential.ts";

/** A place where credentials may be: a variable, a file, a cloud. */
export interface CredentialSource {
  /** In words for people: "CNB_REGISTRY_AUTH". */
  readonly name: string;
  /**
   * Credentials for a registry, the most specific path first; none where the source has none, or where it cannot be asked
   * and has said so. Throws a RestorerError where that ends the run, or the signal's reason.
   */
  lookUp(registry: string): Promise<readonly ScopedCredential[]>;
}

/** Credentials for a registry, or only for what lies below a path in it. */
export interface ScopedCredential {
  /** Without slashes around it; empty for the whole registry. */
  readonly path: string;
  readonly credential: Credential;
}

/** What sources say and heed while they are asked. */
export interface AskOptions {
  readonly warn: (message: string) => void;
  readonly debug: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** Time each credential helper gets. */
  readonly helperMs?: number | undefined;
  /** How long sign-ins to clouds wait. */
  readonly cloudTiming?: Partial<CloudTiming> | undefined;
}
