import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { RestorerError } from "../failures.ts";
import { optionalEntries } from "../lenient.ts";
import { quote } from "../text.ts";
import { isTable } from "../toml/values.ts";
import { Credential, isHeaderWord } from "./credential.ts";
import { splitKey } from "./docker-config.ts";
import type { CredentialSource, ScopedCredential } from "./source.ts";
import { parseWritten, withoutFinalBreak, withoutSpace } from "./written.ts";

const name = "CNB_REGISTRY_AUTH";
const example = `Set it to a JSON object such as {"registry.example.com": "Basic <base64 of user:password>"}.`;

/** CNB_REGISTRY_AUTH: registry → value of an Authorization header. Keys may be URLs; null is none. */
export class VariableSource implements CredentialSource {
  readonly name = name;
  readonly #headers: ReadonlyMap<string, unknown>;

  /** Throws a RestorerError for what is not a JSON object, or holds nothing but other things than headers. */
  constructor(env: Environment) {
    this.#headers = parse(env[name] ?? "");
  }

  /** Throws a RestorerError for a value that is not a header we know; what stands for other registries is not looked at. */
  async lookUp(registry: string): Promise<readonly ScopedCredential[]> {
    const header = this.#headers.get(registry.toLowerCase());
    return header === undefined ? [] : [{ path: "", credential: parseHeader(registry, header) }];
  }
}

function parse(text: string): Map<string, unknown> {
  // What is wrong with its JSON is not told: the parser's message quotes the text, which holds secrets.
  const table = parseWritten(text);
  if (!isTable(table)) {
    throw new RestorerError(`failed to parse ${name}: not a JSON object of registry names and headers`, {
      hint: example,
    });
  }
  const given = v.parse(optionalEntries, table).filter(([, header]) => header !== null);
  const [first] = given;
  // Where some are headers, what is wrong with the others matters only for their registries.
  if (first !== undefined && !given.some(([, header]) => typeof header === "string")) throw notText(first[0]);
  return new Map(given.map(([key, header]) => [splitKey(key).registry, header]));
}

function notText(registry: string): RestorerError {
  return new RestorerError(`failed to parse ${name}: the value for ${quote(registry)} is not text`, { hint: example });
}

/** A header as the lifecycle writes it: `Basic …`, `Bearer …` or `X-Identity …`. White space in its secret goes. */
function parseHeader(registry: string, header: unknown): Credential {
  if (typeof header !== "string") throw notText(registry);
  const match = /^(basic|bearer|x-identity)\s+(.+)$/is.exec(header.trim());
  const text = match?.[2] ?? "";
  const secret = withoutSpace(text);
  // What was wrapped is base64 or a token: anything else would be another header, perhaps.
  if (isHeaderWord(text) || /^[\w.~+/=-]+$/.test(secret)) {
    switch (match?.[1]?.toLowerCase()) {
      case "basic":
        return new Credential(name, { basic: withoutFinalBreak(secret) });
      case "bearer":
        return new Credential(name, { bearer: secret });
      case "x-identity":
        return new Credential(name, { identity: secret });
    }
  }
  throw new RestorerError(`failed to parse ${name}: the value for ${quote(registry)} is not a kind of header we know`, {
    hint: `It must begin with "Basic ", "Bearer " or "X-Identity ", and go on with base64 or a token.`,
  });
}
