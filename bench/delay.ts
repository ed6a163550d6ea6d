import { createConnection, createServer, type Socket } from "node:net";

/** What one side may have under way: half of the 6 MiB that Linux lets a connection's window grow to. */
const windowBytes = 3 << 20;

interface DelayProxy extends Disposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
}

/**
 * A TCP proxy that makes a port of this machine look as far away as `roundTripMs`: half of it passes before bytes come out at
 * the other side, all of it before a new connection carries any. A window bounds what is under way; slow start is left out.
 */
export async function startDelayProxy(target: string, roundTripMs: number): Promise<DelayProxy> {
  const sockets = new Set<Socket>();
  const port = Number(target.split(":").at(-1));
  const server = createServer((client) => {
    const upstream = createConnection({ host: "127.0.0.1", port });
    // The handshake with a far server takes a round trip before the first byte may leave.
    forward(client, upstream, roundTripMs / 2, Bun.nanoseconds() / 1e6 + roundTripMs);
    forward(upstream, client, roundTripMs / 2, 0);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => sockets.delete(socket));
    }
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address();
  const ownPort = typeof address === "object" && address !== null ? address.port : 0;
  return {
    host: `127.0.0.1:${ownPort}`,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function forward(from: Socket, to: Socket, delayMs: number, notBefore: number): void {
  let underWay = 0;
  const later = (act: () => void): void => {
    const now = Bun.nanoseconds() / 1e6;
    setTimeout(act, Math.max(now, notBefore) - now + delayMs);
  };
  from.on("data", (bytes: Buffer) => {
    underWay += bytes.length;
    if (underWay >= windowBytes) from.pause();
    later(() => {
      if (!to.destroyed) to.write(bytes);
      underWay -= bytes.length;
      if (underWay < windowBytes) from.resume();
    });
  });
  from.on("end", () => later(() => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => later(() => to.destroy()));
}
