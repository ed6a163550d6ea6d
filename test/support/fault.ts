import type { IncomingMessage, ServerResponse } from "node:http";
import { encode } from "./test-image.ts";

/** What may go wrong with an answer. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Other headers than these are as they would be. */
  | { readonly kind: "headers"; readonly headers: Record<string, string> }
  /** In a content coding that nobody asked for. */
  | { readonly kind: "encoded"; readonly coding: string; readonly encode: (bytes: Uint8Array) => Uint8Array }
  /** One byte in the middle is another one. */
  | { readonly kind: "corrupt" }
  /**
   * The connection ends after `at` bytes of the body (half of it by default), whatever was announced. How many of them the
   * client gets to see is chance; where it matters, let it stall instead.
   */
  | { readonly kind: "cut"; readonly at?: number }
  /** The connection ends without an answer. */
  | { readonly kind: "reset" }
  /** Half of the body, announced as if it were all. */
  | { readonly kind: "short" }
  | { readonly kind: "garbage" }
  /** Bytes too many, announced or not. */
  | { readonly kind: "trailing"; readonly announced: boolean }
  /** Nothing more comes: instead of an answer, or after `at` bytes of its body. */
  | { readonly kind: "stall"; readonly at?: number }
  /** As it would be, but not before `ms` have passed. */
  | { readonly kind: "late"; readonly ms: number }
  /** One byte at a time, with pauses. */
  | { readonly kind: "trickle"; readonly everyMs: number }
  | { readonly kind: "redirect"; readonly to: string; readonly status?: number }
  /** No faster than this, each connection; until something has happened. */
  | { readonly kind: "slow"; readonly bytesPerSecond: number; readonly until?: Promise<unknown> }
  /** Of a server that knows none, and does not say that it does; no faster than this, each connection. */
  | { readonly kind: "ignore-range"; readonly bytesPerSecond?: number }
  | { readonly kind: "wrong-range" }
  /** A body of that many bytes, streamed. */
  | { readonly kind: "huge"; readonly bytes: number };

/** A fault, and which requests it befalls: the first rule that fits counts. */
export interface FaultRule {
  /** Of the path, without query. */
  readonly path: RegExp;
  readonly method?: string;
  /** Of the part that is asked for; those that ask for none are not meant then. */
  readonly range?: RegExp;
  /** How often; always by default. */
  readonly times?: number;
  /** How many requests that fit are served well before. */
  readonly after?: number;
  readonly fault: Fault;
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** 0 when there was no answer. */
  status: number;
}

/** An answer as it would be without a fault. */
export interface Plain {
  readonly status: number;
  readonly headers: Record<string, string | string[]>;
  readonly bytes: Uint8Array;
}

/** An answer in a registry's words for trouble. */
export function failure(status: number, code: string, headers: Record<string, string | string[]> = {}): Plain {
  const bytes = encode({ errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] });
  return { status, headers: { "content-type": "application/json", ...headers }, bytes };
}

/** An answer as it is sent: what is announced as its length, and after how many bytes nothing more comes. */
interface Shaped extends Plain {
  readonly announced: number | undefined;
  readonly stopAt?: number;
}

/** Answers a request, with a fault. */
export async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  found: Plain,
  fault: Fault | undefined,
  record: RecordedRequest,
): Promise<void> {
  if (fault?.kind === "stall" && fault.at === undefined) return;
  if (fault?.kind === "reset") {
    request.socket.destroy();
    return;
  }
  if (fault?.kind === "late") await Bun.sleep(fault.ms);
  const known = fault?.kind === "ignore-range" ? {} : { "accept-ranges": "bytes" };
  const plain = inRange(found, request.headers.range, fault);
  const { status, headers, bytes, announced, stopAt } = shape(
    { ...plain, headers: { ...known, ...plain.headers } },
    fault,
  );
  const bytesPerSecond = fault !== undefined && "bytesPerSecond" in fault ? fault.bytesPerSecond : undefined;
  record.status = status;
  response.writeHead(status, announced === undefined ? headers : { ...headers, "content-length": String(announced) });
  if (record.method === "HEAD") response.end();
  else if (fault?.kind === "huge") await stream(response, fault.bytes);
  else if (bytesPerSecond !== undefined) {
    await slowly(response, bytes, bytesPerSecond, fault?.kind === "slow" ? fault.until : undefined);
  } else if (fault?.kind === "trickle") await trickle(response, bytes, fault.everyMs);
  else if (stopAt === undefined) response.end(bytes);
  else {
    response.flushHeaders();
    if (stopAt > 0) await new Promise<void>((done) => response.write(bytes.subarray(0, stopAt), () => done()));
    if (fault?.kind === "cut") request.socket.destroy();
  }
}

/** The part of an answer that was asked for. */
function inRange(found: Plain, asked: string | undefined, fault: Fault | undefined): Plain {
  const range = /^bytes=(\d+)-(\d*)$/.exec(asked ?? "");
  if (found.status !== 200 || range === null || fault?.kind === "ignore-range") return found;
  const [from, total] = [Number(range[1]), found.bytes.length];
  const last = range[2] === "" ? total - 1 : Math.min(total - 1, Number(range[2]));
  const claimed = fault?.kind === "wrong-range" ? from + 1 : from;
  const headers = { ...found.headers, "content-range": `bytes ${claimed}-${last}/${total}` };
  return { status: 206, headers, bytes: found.bytes.subarray(from, last + 1) };
}

function shape(plain: Plain, fault: Fault | undefined): Shaped {
  const { status, headers, bytes } = plain;
  const whole = (other: Uint8Array, change: Partial<Plain> = {}): Shaped => ({
    ...plain,
    ...change,
    bytes: other,
    announced: other.length,
  });
  switch (fault?.kind) {
    case "status": {
      const body =
        fault.body === undefined ? failure(fault.status, `FAULT_${fault.status}`).bytes : Buffer.from(fault.body);
      return whole(body, { status: fault.status, headers: { ...headers, ...fault.headers } });
    }
    case "headers":
      return whole(bytes, { headers: { ...headers, ...fault.headers } });
    case "encoded":
      return whole(fault.encode(bytes), { headers: { ...headers, "content-encoding": fault.coding } });
    case "redirect":
      return whole(new Uint8Array(), { status: fault.status ?? 307, headers: { ...headers, location: fault.to } });
    case "stall":
      return { ...whole(bytes), stopAt: fault.at ?? 0 };
    case "cut":
      return { ...whole(bytes), stopAt: fault.at ?? Math.floor(bytes.length / 2) };
    case "corrupt": {
      const damaged = Uint8Array.from(bytes);
      damaged[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x5a;
      return whole(damaged);
    }
    case "short":
      return whole(bytes.subarray(0, bytes.length >> 1));
    case "garbage":
      return whole(Buffer.from("\0garbage".repeat(40)));
    case "trailing": {
      const longer = whole(Buffer.concat([bytes, Buffer.alloc(100, "x")]));
      return fault.announced ? longer : { ...longer, announced: undefined };
    }
    case "huge":
      return { status, headers, bytes, announced: undefined };
    default:
      return whole(bytes);
  }
}

async function stream(response: ServerResponse, total: number): Promise<void> {
  const piece = Buffer.alloc(256 * 1024, " ");
  const closed = new Promise<void>((done) => {
    response.once("close", done);
  });
  for (let sent = 0; sent < total && !response.destroyed; sent += piece.length) {
    if (!response.write(piece)) {
      const drained = new Promise<void>((done) => {
        response.once("drain", done);
      });
      await Promise.race([drained, closed]);
    }
  }
  response.end();
}

async function slowly(
  response: ServerResponse,
  bytes: Uint8Array,
  bytesPerSecond: number,
  until?: Promise<unknown>,
): Promise<void> {
  let isOver = false;
  const over = until?.then(() => {
    isOver = true;
  });
  const [began, step] = [performance.now(), Math.min(256 * 1024, Math.ceil(bytesPerSecond / 20))];
  for (let sent = 0; sent < bytes.length && !response.destroyed; sent += step) {
    if (isOver) {
      response.end(bytes.subarray(sent));
      return;
    }
    await new Promise<void>((done) => response.write(bytes.subarray(sent, sent + step), () => done()));
    const pause = Bun.sleep(began + (1000 * (sent + step)) / bytesPerSecond - performance.now());
    await (over === undefined ? pause : Promise.race([pause, over]));
  }
  response.end();
}

async function trickle(response: ServerResponse, bytes: Uint8Array, everyMs: number): Promise<void> {
  for (let sent = 0; sent < bytes.length && !response.destroyed; sent++) {
    response.write(bytes.subarray(sent, sent + 1));
    await Bun.sleep(everyMs);
  }
}
