import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { createLoopbackCertificate } from "../../src/demo/tls.ts";

const certificate = createLoopbackCertificate();
const other = createLoopbackCertificate();
const server = createServer(certificate, (_request, response) => response.end("hello"));
let port = 0;
let folder = "";

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
  folder = await mkdtemp(join(tmpdir(), "tls-"));
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});

/** What a Node process that trusts `authorities` prints when it fetches from the server. */
async function fetchElsewhere(host: string, authorities: string): Promise<string> {
  const file = join(folder, "authorities.pem");
  await writeFile(file, authorities);
  const script = `fetch(process.argv[1]).then((r) => r.text(), (e) => e.cause.code).then((t) => process.stdout.write(t))`;
  const child = spawn(process.execPath, ["-e", script, `https://${host}:${port}/`], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: file },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return await text(child.stdout);
}

async function get(hostname: string, ca: string): Promise<string> {
  const [response] = await once(request({ hostname, port, ca, agent: false }).end(), "response");
  return await text(response);
}

test("fetch accepts the certificate from NODE_EXTRA_CA_CERTS, for both names", async () => {
  assert.equal(await fetchElsewhere("localhost", certificate.cert), "hello");
  assert.equal(await fetchElsewhere("127.0.0.1", certificate.cert), "hello");
});

test("fetch accepts it among other certificates of the same kind", async () => {
  assert.equal(await fetchElsewhere("localhost", other.cert + certificate.cert), "hello");
});

test("fetch refuses the server when only another certificate is trusted", async () => {
  const refused = await fetchElsewhere("localhost", other.cert);
  assert.match(refused, /^(DEPTH_ZERO_)?SELF_SIGNED_CERT/);
});

test("https.request accepts it as ca, and only it", async () => {
  assert.equal(await get("localhost", certificate.cert), "hello");
  assert.equal(await get("127.0.0.1", certificate.cert), "hello");
  await assert.rejects(get("localhost", other.cert), { code: /SELF_SIGNED_CERT/ });
});

test("it is an authority for itself, valid from yesterday for a year", () => {
  const x509 = new X509Certificate(certificate.cert);
  const dayMs = 86_400_000;
  assert.equal(x509.ca, true);
  assert.equal(x509.subjectAltName, "DNS:localhost, IP Address:127.0.0.1");
  assert.ok(x509.verify(x509.publicKey));
  assert.deepEqual(x509.publicKey.asymmetricKeyDetails, { namedCurve: "prime256v1" });
  assert.ok(Math.abs(x509.validFromDate.getTime() - (Date.now() - dayMs)) < 60_000);
  assert.equal(x509.validToDate.getTime() - x509.validFromDate.getTime(), 365 * dayMs);
});

test("every certificate has a key, a name and a serial number of its own", () => {
  const [one, two] = [new X509Certificate(certificate.cert), new X509Certificate(other.cert)];
  assert.notEqual(certificate.key, other.key);
  assert.notEqual(one.subject, two.subject);
  assert.notEqual(one.serialNumber, two.serialNumber);
});
