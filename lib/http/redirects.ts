import { discard } from "./body.ts";
import { TransportError } from "./errors.ts";
import type { HttpRequest } from "./request.ts";

const maximumRedirects = 10;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request to an address, and on to where the answer redirects it. Credentials go to the first address's origin only,
 * and not any more once it was left. Throws a TransportError for a redirect that is not followed.
 */
export async function followRedirects(
  request: HttpRequest,
  start: URL,
  send: (url: URL, authorization: string | undefined) => Promise<Response>,
): Promise<{ readonly response: Response; readonly answered: URL }> {
  let url = start;
  let { authorization } = request;
  for (let hops = 0; ; hops++) {
    const response = await send(url, authorization);
    request.listener?.heard();
    const location = response.headers.get("location");
    if (!redirectStatuses.has(response.status) || location === null) return { response, answered: url };
    discard(response);
    url = targetOf(request, url, location, hops);
    if (url.origin !== start.origin) authorization = undefined;
  }
}

function targetOf(request: HttpRequest, url: URL, location: string, hops: number): URL {
  const refused = (why: string) =>
    new TransportError("Redirect", `${url.host} redirects to ${why}`, `Ask whoever runs ${url.host}.`);
  if (request.method === "POST" || request.method === "PUT")
    throw refused("another address, where a secret would go along");
  if (hops >= maximumRedirects) throw refused(`yet another address, after ${maximumRedirects} redirects`);
  if (!URL.canParse(location, url.href)) throw refused("a malformed address");
  const next = new URL(location, url);
  [next.username, next.password, next.hash] = ["", "", ""];
  const why = request.refuseRedirect(url, next);
  if (why !== undefined) throw refused(`${next.host || next.protocol}, which is not followed: ${why}`);
  return next;
}
