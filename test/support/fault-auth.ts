import { randomUUID } from "node:crypto";
import { failure, type Plain, type RecordedRequest } from "./fault.ts";
import { encode } from "./test-image.ts";

/** How the registry wants to be asked. With `token`, it hands out tokens itself at `/token`, unless `realm` is elsewhere. */
export type FaultAuth =
  | { readonly kind: "basic"; readonly user: string }
  | { readonly kind: "bearer"; readonly token: string }
  | {
      readonly kind: "token";
      /** `user:password`; without it everybody gets a token. */
      readonly user?: string;
      /** Given by POST, as OAuth2 has it. */
      readonly refreshToken?: string;
      /** Requests for which a token is good; always by default. */
      readonly uses?: number;
      readonly expiresIn?: number;
      readonly realm?: string;
    };

/** Lets requests in, hands out tokens, or answers with a challenge. */
export function createDoorman(auth: FaultAuth | undefined, url: () => string, challenge?: string | string[]) {
  const tokens = new Map<string, number>();
  const series = randomUUID();
  let issued = 0;

  function token({ method, headers, body }: RecordedRequest): Plain {
    if (auth?.kind !== "token") return failure(404, "NOT_FOUND");
    const form = new URLSearchParams(body);
    const refreshed =
      method === "POST" && auth.refreshToken !== undefined && form.get("refresh_token") === auth.refreshToken;
    const known = auth.user === undefined || headers.authorization === basic(auth.user);
    if (!refreshed && (method === "POST" || !known)) return failure(401, "UNAUTHORIZED");
    const value = `token-${series}-${++issued}`;
    tokens.set(value, auth.uses ?? Number.POSITIVE_INFINITY);
    const expiry = auth.expiresIn === undefined ? {} : { expires_in: auth.expiresIn };
    const bytes = encode({ [refreshed ? "access_token" : "token"]: value, ...expiry });
    return { status: 200, headers: { "content-type": "application/json" }, bytes };
  }
  function admits(authorization: string | undefined): boolean {
    if (auth === undefined) return challenge === undefined;
    if (auth.kind === "basic") return authorization === basic(auth.user);
    if (auth.kind === "bearer") return authorization === `Bearer ${auth.token}`;
    const value = authorization?.replace(/^Bearer /, "") ?? "";
    const left = tokens.get(value) ?? 0;
    if (left > 0) tokens.set(value, left - 1);
    return left > 0;
  }
  return {
    revoke: () => tokens.clear(),
    answer(request: RecordedRequest): Plain | undefined {
      if (request.path === "/token") return token(request);
      const { authorization } = request.headers;
      if (admits(typeof authorization === "string" ? authorization : undefined)) return undefined;
      const realm = auth?.kind === "token" && auth.realm !== undefined ? auth.realm : `${url()}/token`;
      const own = auth?.kind === "basic" ? 'Basic realm="test"' : `Bearer realm="${realm}",service="test"`;
      return failure(401, "UNAUTHORIZED", { "www-authenticate": challenge ?? own });
    },
  };
}

function basic(user: string): string {
  return `Basic ${Buffer.from(user).toString("base64")}`;
}
