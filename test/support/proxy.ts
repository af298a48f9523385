import { once } from "node:events";
import { createServer, request as forward, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer } from "node:tls";
import { createLoopbackCertificate } from "../../src/demo/tls.ts";

export interface Proxy extends AsyncDisposable {
  /** For HTTPS_PROXY and HTTP_PROXY. */
  readonly url: string;
  /** `host:port` of every request and every tunnel, in order. */
  readonly targets: string[];
}

interface ProxyOptions {
  /** `user:password` that clients have to present. */
  readonly credentials?: string;
}

/**
 * An HTTP proxy on loopback: tunnels for CONNECT, forwards requests in absolute form (RFC 9110, section 9.3.6;
 * RFC 9112, section 3.2.2).
 */
export async function startProxy({ credentials }: ProxyOptions = {}): Promise<Proxy> {
  const targets: string[] = [];
  const sockets = new Set<Duplex>();
  const expected = credentials && `Basic ${Buffer.from(credentials).toString("base64")}`;
  const isAllowed = ({ headers }: IncomingMessage) =>
    !expected || headers["proxy-authorization"] === expected;
  const server = createServer((request, response) => {
    if (!isAllowed(request)) return void response.writeHead(407).end();
    if (!URL.canParse(request.url ?? "")) return void response.writeHead(400).end("not in absolute form");
    const target = new URL(request.url ?? "");
    targets.push(target.host);
    const { "proxy-authorization": _, ...headers } = request.headers;
    const onward = forward(target, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  server.on("connect", (request: IncomingMessage, client: Duplex) => {
    const { hostname, port } = new URL(`http://${request.url}`);
    if (!isAllowed(request)) return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    targets.push(request.url ?? "");
    const onward: Socket = connect(Number(port), hostname, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    for (const [from, to] of [
      [client, onward],
      [onward, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://${credentials ? `${credentials}@` : ""}127.0.0.1:${(server.address() as AddressInfo).port}`,
    targets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export interface TlsFront extends AsyncDisposable {
  /** `localhost:PORT` */
  readonly host: string;
  /** PEM of what clients have to trust. */
  readonly certificate: string;
}

/** HTTPS for a server that speaks plain HTTP on this port of loopback. */
export async function startTlsFront(port: number): Promise<TlsFront> {
  const { key, cert } = createLoopbackCertificate();
  const server = createTlsServer({ key, cert }, (client) => {
    const onward = connect(port, "127.0.0.1");
    client.on("error", () => onward.destroy());
    onward.on("error", () => client.destroy());
    client.pipe(onward).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `localhost:${(server.address() as AddressInfo).port}`,
    certificate: cert,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}
