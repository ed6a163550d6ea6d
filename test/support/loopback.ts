import type { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";

interface SilentServer extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** Once somebody has connected. */
  readonly connected: Promise<void>;
}

/** A listener that accepts connections and never says a word; `await using` ends it. */
export async function startSilentServer(): Promise<SilentServer> {
  const sockets = new Set<Socket>();
  const { promise: connected, resolve } = Promise.withResolvers<void>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    resolve();
    socket.on("error", () => {});
  });
  const port = await listen(server);
  const end = () => {
    for (const socket of sockets) socket.destroy();
    return close(server);
  };
  return { host: `127.0.0.1:${port}`, connected, [Symbol.asyncDispose]: end };
}

type Server = ReturnType<typeof createServer> | ReturnType<typeof createTcpServer>;

/** Listens on a port of its own choice; which one. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address() as AddressInfo;
  return address.port;
}

/** Ends a server and its connections. */
export function close(server: Server): Promise<void> {
  if ("closeAllConnections" in server) server.closeAllConnections();
  return new Promise((done) => {
    server.close(() => done());
  });
}
