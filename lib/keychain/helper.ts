import * as v from "valibot";
import type { User } from "../disk/permissions.ts";
import { asSecondUser } from "../disk/second-user.ts";
import type { Environment } from "../environment.ts";
import { describe } from "../errors.ts";
import { inLowerCase, optionalText } from "../lenient.ts";
import { quote } from "../text.ts";
import { Deadline, orAbort } from "../waiting.ts";
import { basicSecret, Credential } from "./credential.ts";
import { parseWritten, withoutSpace } from "./written.ts";

/** Time a credential helper gets; a desktop's may wait for a person who is not there. */
const helperMs = 10_000;
const outputBytes = 64 * 1024;
/** How long its stdout is read on after it has exited: what it left running may hold it open for ever. */
const graceMs = 100;

/**
 * What a credential helper may need of the environment: to be found, its own configuration, the cloud's, the desktop's
 * key store, and the way out. The secrets of this program are not among it.
 */
const passedOn =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_ALL|TMPDIR|XDG_\w+|DOCKER_CONFIG|DBUS_SESSION_BUS_ADDRESS|DISPLAY|GNUPGHOME|PASSWORD_STORE_\w+|(AWS|AZURE|GOOGLE|CLOUDSDK|ECS|ACR)_\w+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY)$/i;

const answerSchema = v.pipe(inLowerCase, v.object({ username: optionalText, secret: optionalText }));

/** What asking a helper takes. */
interface HelperOptions {
  readonly env: Environment;
  /** Takes a line with what a helper that fails says about it. */
  readonly debug?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/**
 * Asks `docker-credential-<name>` for the credentials of a server (docker's credential helper protocol): the server on
 * stdin, JSON on stdout. Undefined when it says that it has none. Throws the signal's reason, or an Error that names the
 * helper, never what it printed: that may be a secret. What it says when it fails goes to `debug`.
 */
export async function askHelper(name: string, server: string, options: HelperOptions): Promise<Credential | undefined> {
  const program = `docker-credential-${name}`;
  if (!/^[\w.-]+$/.test(name)) throw new Error("the name of a credential helper may not be a path");
  const { exitCode, output, complaint } = await run(find(program, options.env), program, server, options);
  if (exitCode !== 0) {
    // The protocol has errors on stdout.
    const words = [complaint, output].map((text) => text.trim().slice(0, 300)).filter((text) => text !== "");
    if (words.length > 0) options.debug?.(`${program} says: ${words.map(quote).join(", ")}`);
    if (/credentials not found|no credentials|missing/i.test(output)) return undefined;
    throw new Error(`${program} failed (exit ${exitCode})`);
  }
  const answer = v.safeParse(answerSchema, parseWritten(output));
  if (!answer.success) throw new Error(`${program} printed something other than credentials`);
  const user = answer.output.username.trim();
  const secret = answer.output.secret.replace(/[\r\n]+$/, "");
  if (secret === "") {
    const printed = output.trim() === "" ? "nothing" : 'no credentials, for "Secret" is missing or empty';
    throw new Error(`${program} printed ${printed}, though it ended with exit 0`);
  }
  // The protocol's way to say that the secret is a refresh token, not a password.
  if (user === "<token>") return new Credential(program, { identity: withoutSpace(secret) });
  return new Credential(program, { basic: basicSecret(user, secret) });
}

/** A helper's file, and as whom it is run where root may not look at it (D21). */
interface Program {
  readonly path: string;
  readonly user?: User;
}

function find(program: string, { PATH = "" }: Environment): Program {
  const which = () => Bun.which(program, { PATH });
  const own = which();
  if (own !== null) return { path: own };
  const users = asSecondUser(which);
  if (users?.value == null) throw new Error(`${program} is not on PATH`);
  return { path: users.value, user: users.user };
}

interface HelperOutcome {
  readonly exitCode: number;
  readonly output: string;
  /** What it wrote to stderr. */
  readonly complaint: string;
}

async function run(
  file: Program,
  program: string,
  server: string,
  { env, signal, timeoutMs = helperMs }: HelperOptions,
): Promise<HelperOutcome> {
  signal?.throwIfAborted();
  const late = new Error(`${program} did not answer within ${timeoutMs / 1000} s`);
  using deadline = new Deadline(timeoutMs, late, ...(signal === undefined ? [] : [signal]));
  const child = start(
    file,
    program,
    server,
    Object.fromEntries(Object.entries(env).filter(([key]) => passedOn.test(key))),
  );
  const [reader, complaints] = [child.stdout.getReader(), child.stderr.getReader()];
  try {
    // Neither the end of the child nor that of its output is waited for then: it may be out of our reach.
    return await orAbort(outcomeOf(child.exited, reader, complaints, program), deadline.signal);
  } finally {
    cancel(reader);
    cancel(complaints);
    // Whatever it left running must not outlive the question, nor keep us here.
    killGroup(child.pid);
    child.unref();
  }
}

async function outcomeOf(
  exited: Promise<number>,
  reader: Reader,
  complaints: Reader,
  program: string,
): Promise<HelperOutcome> {
  const reading = readAll(reader, program);
  const complaining = readAll(complaints, program).catch(() => "");
  const ending = exited.then(async (exitCode) => {
    await Promise.race([Promise.all([reading, complaining]), Bun.sleep(graceMs)]);
    // What came while we were busy with something else is read first.
    await new Promise((resolve) => setImmediate(resolve));
    cancel(reader);
    cancel(complaints);
    return exitCode;
  });
  const [output, complaint, exitCode] = await Promise.all([reading, complaining, ending]);
  return { exitCode, output, complaint };
}

/** A process group of its own, so that a helper's own children end with it. */
function start({ path, user }: Program, program: string, server: string, env: Environment) {
  try {
    return Bun.spawn([path, "get"], {
      ...user,
      argv0: program,
      env,
      cwd: "/",
      stdin: Buffer.from(server),
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
  } catch (cause) {
    throw new Error(`${program} cannot be run: ${describe(cause)}`);
  }
}

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

function cancel(reader: Reader): void {
  reader.cancel().catch(() => {});
}

/** Everything up to the end of a stream, or until its reader is cancelled. */
async function readAll(reader: Reader, program: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    length += value?.length ?? 0;
    if (length > outputBytes) throw new Error(`${program} printed more than ${outputBytes} bytes`);
    parts.push(value ?? new Uint8Array());
  }
  return Buffer.concat(parts).toString();
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
