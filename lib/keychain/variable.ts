import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import { parseIfObject } from "../toml/json.ts";
import { Credential, isHeaderWord } from "./credential.ts";
import { splitKey } from "./docker-config.ts";
import type { CredentialSource, ScopedCredential } from "./source.ts";

const name = "CNB_REGISTRY_AUTH";

/** CNB_REGISTRY_AUTH: registry → value of an Authorization header. Keys may be URLs. */
export class VariableSource implements CredentialSource {
  readonly name = name;
  readonly #headers: ReadonlyMap<string, string>;

  /** Throws a RestorerError for a value that is not a JSON object. */
  constructor(env: Environment) {
    this.#headers = parse(env[name] ?? "");
  }

  async lookUp(registry: string): Promise<readonly ScopedCredential[]> {
    const header = this.#headers.get(registry.toLowerCase());
    return header === undefined ? [] : [{ path: "", credential: parseHeader(registry, header) }];
  }
}

function parse(text: string): Map<string, string> {
  if (text === "") return new Map();
  // What is wrong with its JSON is not told: the parser's message quotes the text, which holds secrets.
  const parsed = v.safeParse(v.record(v.string(), v.string()), parseIfObject(text));
  if (!parsed.success) {
    throw new RestorerError(`failed to parse ${name}: not a JSON object of registry names and headers`, {
      hint: `Set it to a JSON object such as {"registry.example.com": "Basic <base64 of user:password>"}.`,
    });
  }
  return new Map(Object.entries(parsed.output).map(([key, header]) => [splitKey(key).registry, header]));
}

/** A header as the lifecycle writes it: `Basic …`, `Bearer …` or `X-Identity …`. */
function parseHeader(registry: string, header: string): Credential {
  const match = /^(basic|bearer|x-identity) +(\S+) *$/i.exec(header);
  const secret = match?.[2] ?? "";
  if (isHeaderWord(secret)) {
    switch (match?.[1]?.toLowerCase()) {
      case "basic":
        return new Credential(name, { basic: secret });
      case "bearer":
        return new Credential(name, { bearer: secret });
      case "x-identity":
        return new Credential(name, { identity: secret });
    }
  }
  throw new RestorerError(`failed to parse ${name}: the value for ${quote(registry)} is not a kind of header we know`, {
    hint: `It must begin with "Basic ", "Bearer " or "X-Identity ", and go on with one word.`,
  });
}
