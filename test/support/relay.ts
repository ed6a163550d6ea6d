import { createConnection, createServer, type Socket } from "node:net";

/** A connection to a relay. */
interface RelayedConnection {
  /** What its client sent so far, as text. */
  sent: string;
  /** How many others were open when it came. */
  readonly beside: number;
}

export interface Relay extends Disposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** In the order in which they came. */
  readonly connections: readonly RelayedConnection[];
  /** What `hold` waited for in vain. */
  readonly failures: readonly unknown[];
}

/** Stands before a server and tells of the connections that come. What a client sends waits for `hold`, if that wants so. */
export async function startRelay(
  target: string,
  hold: (sent: string, connections: readonly RelayedConnection[]) => Promise<unknown> | undefined = () => undefined,
): Promise<Relay> {
  const [sockets, connections, failures] = [new Set<Socket>(), [] as RelayedConnection[], [] as unknown[]];
  const port = Number(target.split(":").at(-1));
  let open = 0;
  const server = createServer((client) => {
    const connection: RelayedConnection = { sent: "", beside: open++ };
    client.on("close", () => open--);
    connections.push(connection);
    const upstream = createConnection({ host: "127.0.0.1", port });
    client.on("data", async (bytes) => {
      const text = bytes.toString("latin1");
      connection.sent += text;
      await Promise.resolve(hold(text, connections)).catch((error: unknown) => failures.push(error));
      if (!upstream.destroyed) upstream.write(bytes);
    });
    upstream.on("data", (bytes) => void client.write(bytes));
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    connections,
    failures,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Whether bytes begin a TLS handshake. */
export function isTls(sent: string): boolean {
  return sent.startsWith("\x16");
}
