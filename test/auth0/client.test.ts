import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import type { Fault } from "../../src/demo/tenant-faults.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { until } from "../support/exporter.ts";
import { failureOf, getPage, never, openTenant, produce } from "./support.ts";

/** Gives up at the first passing fault. */
const impatient = { giveUpAfterMs: 0 };
/** Long for an answer on loopback, short for a test that waits for it to pass. */
const requestTimeoutMs = 400;

describe("the access token", () => {
  it("is fetched once for many requests", async () => {
    await using rig = await openTenant();
    assert.equal(rig.client.grantedScopes(), null);
    for (let page = 0; page < 20; page++) assert.equal(await getPage(rig.client), "[]");
    assert.equal(rig.tenant.counts.token, 1);
    assert.equal(rig.tenant.counts.logs, 20);
    assert.deepEqual(rig.client.grantedScopes(), ["read:logs"]);
  });

  it("is fetched once by pipelines that begin at the same time", async () => {
    await using rig = await openTenant();
    await Promise.all(Array.from({ length: 8 }, () => getPage(rig.client)));
    assert.deepEqual(rig.tenant.counts, { token: 1, logs: 8, log: 0 });
  });

  it("is replaced once when Auth0 refuses it, and the request goes on", async () => {
    await using rig = await openTenant();
    await getPage(rig.client);
    rig.tenant.faults.push("revoke");
    assert.equal(await getPage(rig.client), "[]");
    assert.deepEqual(rig.tenant.counts, { token: 2, logs: 3, log: 0 });
    assert.deepEqual(rig.retries, []);
  });

  it("is replaced once when Auth0 refuses it to several pipelines at the same time", async () => {
    await using rig = await openTenant({ tenant: { pageLatencyMs: 20 } });
    await getPage(rig.client);
    rig.tenant.faults.push("revoke");
    await Promise.all(Array.from({ length: 4 }, () => getPage(rig.client)));
    assert.equal(rig.tenant.requests.filter(({ status }) => status === 401).length, 4);
    assert.equal(rig.tenant.counts.token, 2);
  });

  it("that is refused again after a new login ends in auth, and the next request tries anew", async () => {
    await using rig = await openTenant();
    rig.tenant.faults.push("revoke", "revoke");
    const error = await failureOf(getPage(rig.client), "auth");
    assert.match(error.message, /401 \(Invalid token\).*AUTH0_AUDIENCE/);
    assert.deepEqual(rig.tenant.counts, { token: 2, logs: 2, log: 0 });
    assert.equal(await getPage(rig.client), "[]");
    assert.equal(rig.tenant.counts.token, 3);
  });

  it("is told of, so that it can be kept out of the log", async () => {
    const secrets: string[] = [];
    await using rig = await openTenant({ client: { onSecret: (secret) => secrets.push(secret) } });
    rig.tenant.faults.push("revoke");
    await getPage(rig.client);
    assert.equal(secrets.length, 2);
    assert.notEqual(secrets[0], secrets[1]);
  });
});

describe("credentials", () => {
  it("may be a private key instead of the secret", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    await using rig = await openTenant({ tenant: { clientPublicKey: publicKey } });
    const client = rig.connect({ clientSecret: () => "wrong", clientAssertionKey: () => privateKey });
    assert.equal(await getPage(client), "[]");
    assert.equal(rig.tenant.counts.token, 1);
  });

  it("are presented with the audience that is set", async () => {
    const audience = "https://tenant.eu.auth0.com/api/v2/";
    await using rig = await openTenant({ tenant: { audience } });
    const error = await failureOf(getPage(rig.client), "auth");
    assert.match(error.message, /Service not enabled within domain/);
    assert.equal(await getPage(rig.connect({ audience })), "[]");
  });

  it("that are wrong end in auth at once, with advice and without the secret", async () => {
    await using rig = await openTenant();
    const client = rig.connect({ clientSecret: () => "hunter2-not-the-secret" });
    const error = await failureOf(getPage(client), "auth");
    assert.match(error.message, /refused the login of client demo-client with 401/);
    assert.match(error.message, /check AUTH0_DOMAIN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET/);
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /hunter2/);
    assert.deepEqual(rig.tenant.counts, { token: 1, logs: 0, log: 0 });
    assert.deepEqual(rig.retries, []);
  });

  it("are not shown by a print-out of the client", async () => {
    await using rig = await openTenant();
    await getPage(rig.client);
    const shown = inspect(rig.client, { depth: 20, showHidden: true }) + JSON.stringify(rig.client);
    assert.ok(!shown.includes(rig.tenant.clientSecret));
  });
});

describe("a redirect", () => {
  for (const on of ["token", "logs"] as const) {
    for (const status of [301, 302, 307, 308]) {
      it(`${status} from ${on} to another origin is not followed, with or without credentials`, async () => {
        await using rig = await openTenant({ client: impatient });
        await using other = await openTenant();
        const location = `${other.tenant.origin}${on === "token" ? "/oauth/token" : "/api/v2/logs"}`;
        rig.tenant.outage = { status, on, headers: { location } };
        await failureOf(getPage(rig.client), "transient");
        assert.equal(rig.tenant.counts[on], 1);
        assert.deepEqual(other.tenant.requests, []);
      });
    }
  }
});

/** What passes by itself, with what the error has to say about it. */
const passing: readonly (readonly [name: string, fault: Fault, says: RegExp])[] = [
  ["a reset connection", "reset", /UND_ERR_SOCKET|ECONNRESET/],
  ["a truncated body", "truncate", /UND_ERR_SOCKET|ECONNRESET/],
  ["a 500", { status: 500, body: "oops" }, /answered 500 \(oops\)/],
  ["a 503 of a proxy", { status: 503, body: "<html>\n  down </html>" }, /503 \(<html> down <\/html>\)/],
  ["a 408", { status: 408 }, /408 \(empty body\)/],
  ["no answer", "hang", /no complete answer within 0\.4 s/],
  ["a body that stops half way", "hang-body", /no complete answer within 0\.4 s/],
];

describe("a passing fault", { concurrency: true }, () => {
  for (const [name, fault, says] of passing) {
    it(`${name}, is retried`, async () => {
      await using rig = await openTenant({ client: { requestTimeoutMs } });
      produce(rig.tenant, [Date.now() - 60_000]);
      rig.tenant.faults.push(fault);
      assert.equal(JSON.parse(await getPage(rig.client)).length, 1);
      assert.equal(rig.tenant.counts.logs, 2);
      assert.deepEqual(
        rig.retries.map(({ error }) => error.kind),
        ["transient"],
      );
      assert.match(rig.retries[0]?.error.message ?? "", says);
    });

    it(`${name}, that stays ends in transient once the time is up`, async () => {
      await using rig = await openTenant({ client: { requestTimeoutMs, giveUpAfterMs: 400 } });
      await getPage(rig.client);
      rig.tenant.outage = fault;
      const error = await failureOf(getPage(rig.client), "transient");
      assert.match(error.message, says);
      assert.ok(rig.retries.length >= 1);
      assert.equal(rig.tenant.counts.logs, rig.retries.length + 2);
    });
  }

  it("is shown with at most 200 characters of what was answered, on one line", async () => {
    await using rig = await openTenant({ client: impatient });
    rig.tenant.outage = { status: 502, on: "logs", body: `<p>\n${"x".repeat(100_000)}</p>` };
    const page = await failureOf(getPage(rig.client), "transient");
    assert.match(page.message, /answered 502 \(<p> x{190,196}\)$/);
    const body = { error: "server_error", error_description: "y".repeat(100_000) };
    rig.tenant.outage = { status: 502, on: "token", body };
    const login = await failureOf(getPage(rig.connect(impatient)), "transient");
    assert.match(login.message, /\(server_error: y{180,186}\); check AUTH0_DOMAIN/);
  });
});

describe("an answer that no retry can mend", () => {
  it("403 ends in auth and names the scope to grant", async () => {
    await using rig = await openTenant({ tenant: { scopes: ["read:users"] } });
    const error = await failureOf(getPage(rig.client), "auth");
    assert.match(error.message, /403 \(Insufficient scope.*grant the scope read:logs to the application/);
    assert.deepEqual(rig.tenant.counts, { token: 1, logs: 1, log: 0 });
    assert.deepEqual(rig.client.grantedScopes(), ["read:users"]);
  });

  it("a 4xx that is not Auth0's own word is a passing fault, also where the caller expects the status", async () => {
    await using rig = await openTenant();
    rig.tenant.faults.push({ status: 404, on: "logs", body: "<html>no route</html>" });
    const read = { signal: never, scope: "read:logs", expected: [404] };
    assert.equal(await rig.client.get("/logs", {}, { ...read, parse: ({ status }) => status }), 200);
  });

  it("another 4xx ends in permanent, unless the caller expects it", async () => {
    await using rig = await openTenant();
    rig.tenant.outage = { status: 410, on: "logs", body: { statusCode: 410, message: "Gone for good" } };
    const error = await failureOf(getPage(rig.client), "permanent");
    assert.match(error.message, /^GET localhost:\d+\/api\/v2\/logs answered 410 \(Gone for good\)$/);
    const read = { signal: never, scope: "read:logs", expected: [410] };
    assert.equal(await rig.client.get("/logs", {}, { ...read, parse: ({ status }) => status }), 410);
    assert.equal(rig.tenant.counts.logs, 2);
  });
});

/** What passes by itself at the token endpoint. */
const passingLogins: readonly (readonly [name: string, fault: Fault])[] = [
  ["500", { status: 500, on: "token", body: { error: "server_error" } }],
  ["a page of HTML with status 200", { kind: "html", on: "token" }],
  ["200 without a body", { kind: "empty", on: "token" }],
  ["200 without a token", { kind: "not-array", on: "token" }],
  ["a reset connection", { kind: "reset", on: "token" }],
  ["a truncated body", { kind: "truncate", on: "token" }],
  ["nothing", { kind: "hang", on: "token" }],
  ["half a body", { kind: "hang-body", on: "token" }],
];

describe("a login that is answered with", { concurrency: true }, () => {
  for (const [name, fault] of passingLogins) {
    it(`${name} is retried, and transient if that stays`, async () => {
      await using rig = await openTenant({ client: { requestTimeoutMs } });
      rig.tenant.faults.push(fault);
      assert.equal(await getPage(rig.client), "[]");
      assert.equal(rig.tenant.counts.token, 2);
      rig.tenant.outage = fault;
      const error = await failureOf(getPage(rig.connect(impatient)), "transient");
      assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(rig.tenant.clientSecret));
      assert.equal(rig.tenant.counts.logs, 1);
    });
  }

  for (const status of [400, 401, 403, 404]) {
    it(`${status} is auth, with advice`, async () => {
      await using rig = await openTenant();
      const body = { error: "access_denied", error_description: "Unauthorized" };
      rig.tenant.outage = { status, on: "token", body };
      const { message } = await failureOf(getPage(rig.client), "auth");
      assert.match(message, /access_denied: Unauthorized.*application is authorized/);
      assert.deepEqual(rig.tenant.counts, { token: 1, logs: 0, log: 0 });
    });
  }

  it("429 waits as told, though it lasts longer than faults are retried", async () => {
    await using rig = await openTenant({ client: { giveUpAfterMs: 1_000 } });
    const { now } = rig.clock;
    const startMs = now();
    const body = { error: "too_many_requests", error_description: "Client quota exceeded" };
    const headers = { "retry-after": "300" };
    rig.tenant.faults.push({ status: 429, on: "token", headers, body });
    assert.equal(await getPage(rig.client), "[]");
    assert.equal(now() - startMs, 300_000);
    assert.match(rig.retries[0]?.error.message ?? "", /Client quota exceeded/);
  });
});

describe("an abort", () => {
  const aborted = new DOMException("the program is stopping", "AbortError");

  for (const [name, fault] of [
    ["a request without an answer", { kind: "hang", on: "logs" }],
    ["a body that stops half way", { kind: "hang-body", on: "logs" }],
    ["a login without an answer", { kind: "hang", on: "token" }],
    ["a wait that a 429 asked for", { status: 429, on: "logs", headers: { "retry-after": "60" } }],
  ] as const) {
    it(`ends ${name} at once, with the abort's reason`, { timeout: 5_000 }, async () => {
      await using rig = await openTenant({ client: { clock: systemClock, requestTimeoutMs: 60_000 } });
      rig.tenant.outage = fault;
      const controller = new AbortController();
      const page = getPage(rig.client, controller.signal);
      const isUnderWay = () =>
        "status" in fault ? rig.retries.length === 1 : rig.tenant.counts[fault.on] === 1;
      await until("the fault", isUnderWay);
      controller.abort(aborted);
      await assert.rejects(page, (thrown) => thrown === aborted);
    });
  }

  it("before a request sends none", async () => {
    await using rig = await openTenant();
    await assert.rejects(getPage(rig.client, AbortSignal.abort(aborted)), (thrown) => thrown === aborted);
    assert.deepEqual(rig.tenant.requests, []);
  });

  it("signal that lives for years gathers no listeners over 2,000 requests", async () => {
    await using rig = await openTenant();
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(String(warning));
    process.on("warning", onWarning);
    const { signal } = new AbortController();
    for (let page = 0; page < 2_000; page++) await getPage(rig.client, signal);
    process.off("warning", onWarning);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    assert.deepEqual(warnings, []);
    assert.equal(rig.tenant.counts.token, 1);
  });
});
