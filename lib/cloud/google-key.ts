import { importPKCS8, SignJWT } from "jose";
import * as v from "valibot";
import { optionalText } from "../lenient.ts";
import { quote } from "../text.ts";
import { vendorEndpoint } from "./endpoints.ts";
import { type GoogleToken, googleHosts, readToken, type Sources, scope } from "./google-token.ts";
import { someText } from "./requests.ts";
import { StepFailure } from "./steps.ts";

const ownServer = "https://oauth2.googleapis.com/token";

const keySchema = v.object({
  client_email: someText,
  private_key: someText,
  private_key_id: optionalText,
  token_uri: optionalText,
});

/** By the key of a service account: a statement that it signs, for a token. */
export async function byKey({ requests }: Sources, file: unknown, path: string): Promise<GoogleToken> {
  const { client_email, private_key, private_key_id, token_uri } = readFile(file, keySchema, path);
  const endpoint = vendorEndpoint(token_uri || ownServer, `the token_uri of ${quote(path)}`, googleHosts);
  const assertion = await new SignJWT({ scope })
    .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(private_key_id === "" ? {} : { kid: private_key_id }) })
    .setIssuer(client_email)
    .setAudience(token_uri || ownServer)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(await readKey(private_key, path));
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  return readToken(await requests.askOk(endpoint, { form: { grant_type, assertion } }));
}

async function readKey(text: string, path: string): Promise<CryptoKey> {
  try {
    return await importPKCS8(text, "RS256");
  } catch {
    // What it says may quote the key.
    throw new StepFailure(`the private_key of ${quote(path)} is not an RSA key in PEM (PKCS #8)`);
  }
}

const userSchema = v.object({ client_id: someText, client_secret: someText, refresh_token: someText });

/** By what `gcloud auth application-default login` leaves for a person. */
export async function byRefresh({ requests }: Sources, file: unknown, path: string): Promise<GoogleToken> {
  const form = { grant_type: "refresh_token", ...readFile(file, userSchema, path) };
  return readToken(await requests.askOk(vendorEndpoint(ownServer, "it", googleHosts), { form }));
}

/** A file of credentials, as a schema has it. Throws a StepFailure that names what is missing. */
export function readFile<T extends v.GenericSchema>(file: unknown, schema: T, path: string): v.InferOutput<T> {
  const parsed = v.safeParse(schema, file);
  if (parsed.success) return parsed.output;
  const where = v.getDotPath(parsed.issues[0]) ?? "an object";
  throw new StepFailure(`${quote(path)} has no usable ${where}`);
}
