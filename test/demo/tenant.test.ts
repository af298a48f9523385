import assert from "node:assert/strict";
import { createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { inspect } from "node:util";
import { Management, ManagementClient } from "auth0";
import { createEventGenerator, eventId } from "../../src/demo/events.ts";
import { startTenant, type Tenant, type TenantOptions } from "../../src/demo/tenant.ts";

const startMs = Date.UTC(2026, 10, 20, 9, 0, 0);
const generate = createEventGenerator({ seed: 3 });
const events = (count: number, firstSequence = 1) =>
  Array.from({ length: count }, (_, index) => generate(startMs + index * 500, firstSequence + index));
const idOf = (index: number, firstSequence = 1) => eventId(startMs + index * 500, firstSequence + index);

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  json(): unknown;
}

interface Request {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

async function send(tenant: Tenant, path: string, { body, ...init }: Request = {}): Promise<Reply> {
  const request = tenant.certificate ? httpsRequest : httpRequest;
  const outgoing = request(`${tenant.origin}${path}`, {
    ...init,
    ca: tenant.certificate,
    agent: false,
  } as object);
  outgoing.end(body);
  const [response] = await once(outgoing, "response");
  const received = await text(response);
  return {
    status: response.statusCode,
    headers: response.headers,
    text: received,
    json: () => JSON.parse(received),
  };
}

function formOf(tenant: Tenant, changes: Record<string, string | null> = {}): Request {
  const fields = {
    grant_type: "client_credentials",
    client_id: tenant.clientId,
    client_secret: tenant.clientSecret,
    audience: tenant.audience,
    ...changes,
  };
  const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== null);
  return {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(given).toString(),
  };
}

async function login(tenant: Tenant): Promise<Request> {
  const reply = await send(tenant, "/oauth/token", formOf(tenant));
  assert.equal(reply.status, 200);
  const { access_token } = reply.json() as { access_token: string };
  return { headers: { authorization: `Bearer ${access_token}` } };
}

/** A tenant with this many events, and a token for it. */
async function tenantWith(count: number, options: TenantOptions = {}) {
  const tenant = await startTenant(options);
  tenant.append(...events(count));
  return { tenant, token: await login(tenant), [Symbol.asyncDispose]: () => tenant.close() };
}

const idsIn = (reply: Reply) => (reply.json() as { log_id: string }[]).map((event) => event.log_id);
const oldest = "9002000";

/** The time in an id. */
function timeOf(id: string): number {
  return Date.parse(id.replace(/^900(....)(..)(..)(..)(..)(..)(...).*$/, "$1-$2-$3T$4:$5:$6.$7Z"));
}

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("the token endpoint grants a token for form, secret and audience", async () => {
  await using tenant = await startTenant({ scopes: ["read:logs", "read:users"], tokenLifetimeSeconds: 600 });
  const reply = await send(tenant, "/oauth/token", formOf(tenant));
  const { access_token, ...rest } = reply.json() as Record<string, unknown>;
  assert.equal(reply.status, 200);
  assert.match(String(access_token), /^[\w-]{32}$/);
  assert.deepEqual(rest, { scope: "read:logs read:users", expires_in: 600, token_type: "Bearer" });
  assert.equal(reply.headers["cache-control"], "no-store");
  assert.deepEqual(tenant.counts, { token: 1, logs: 0, log: 0 });
});

test("the token endpoint refuses what Auth0 refuses", async () => {
  await using tenant = await startTenant();
  const cases: [Request, number, string, RegExp][] = [
    [formOf(tenant, { client_secret: "wrong" }), 401, "access_denied", /^Unauthorized$/],
    [formOf(tenant, { client_secret: null }), 401, "access_denied", /^Unauthorized$/],
    [formOf(tenant, { client_id: "nobody" }), 401, "access_denied", /^Unauthorized$/],
    [formOf(tenant, { audience: null }), 403, "access_denied", /^Non-global clients/],
    [
      formOf(tenant, { audience: tenant.audience.slice(0, -1) }),
      403,
      "access_denied",
      /^Service not enabled within/,
    ],
    [formOf(tenant, { grant_type: null }), 400, "invalid_request", /grant_type/],
    [formOf(tenant, { grant_type: "password" }), 403, "unauthorized_client", /password/],
    [{ ...formOf(tenant), headers: { "content-type": "text/plain" } }, 400, "invalid_request", /grant_type/],
    [formOf(tenant, { padding: "x".repeat(70_000) }), 400, "invalid_request", /grant_type/],
  ];
  for (const [request, status, error, description] of cases) {
    const reply = await send(tenant, "/oauth/token", request);
    const body = reply.json() as { error: string; error_description: string };
    assert.equal(reply.status, status, request.body);
    assert.equal(body.error, error);
    assert.match(body.error_description, description);
  }
});

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const clientPublicKey = publicKey.export({ type: "spki", format: "pem" }).toString();

function assertionFor(tenant: Tenant, changes: Record<string, unknown> = {}, alg = "RS256"): Request {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: tenant.clientId,
    sub: tenant.clientId,
    aud: `https://${tenant.domain}/`,
    iat: now,
    exp: now + 180,
    jti: randomUUID(),
    ...changes,
  };
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg })}.${part(claims)}`;
  const signature = createSign("sha256").update(signed).sign(privateKey, "base64url");
  return formOf(tenant, {
    client_secret: null,
    client_assertion: `${signed}.${signature}`,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
  });
}

test("a client assertion signed with the client's key gets a token, once", async () => {
  await using tenant = await startTenant({ clientPublicKey });
  const assertion = assertionFor(tenant);
  assert.equal((await send(tenant, "/oauth/token", assertion)).status, 200);
  const again = await send(tenant, "/oauth/token", assertion);
  assert.equal(again.status, 401);
  assert.deepEqual(again.json(), {
    error: "invalid_client",
    error_description: "'jti' has been used before",
  });
});

test("a client assertion that breaks a rule is refused", async () => {
  await using tenant = await startTenant({ clientPublicKey });
  await using without = await startTenant();
  const now = Math.floor(Date.now() / 1000);
  const cases: [Tenant, Request, RegExp][] = [
    [tenant, assertionFor(tenant, { iss: "nobody" }), /client id/],
    [tenant, assertionFor(tenant, { sub: "nobody" }), /client id/],
    [tenant, assertionFor(tenant, { aud: `https://${tenant.domain}` }), /'aud' must be/],
    [tenant, assertionFor(tenant, { exp: now - 1 }), /future/],
    [tenant, assertionFor(tenant, { exp: now + 301 }), /5 minutes/],
    [tenant, assertionFor(tenant, { iat: now + 60, exp: now + 90 }), /'iat'/],
    [tenant, assertionFor(tenant, { jti: undefined }), /'jti'/],
    [tenant, assertionFor(tenant, {}, "RS384"), /not a JWT signed/],
    [tenant, assertionFor(tenant, {}, "none"), /not a JWT signed/],
    [
      tenant,
      formOf(tenant, {
        client_assertion: "a.b.c",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      }),
      /not a JWT/,
    ],
    [without, assertionFor(without), /no credential/],
  ];
  for (const [server, request, description] of cases) {
    const reply = await send(server, "/oauth/token", request);
    assert.equal(reply.status, 401, String(description));
    assert.match((reply.json() as { error_description: string }).error_description, description);
  }
  const untyped = formOf(tenant, { client_assertion: "a.b.c" });
  assert.equal((await send(tenant, "/oauth/token", untyped)).status, 400);
});

test("a checkpoint page holds the events strictly after `from`, as they were appended", async () => {
  await using server = await tenantWith(5);
  const { tenant, token } = server;
  const reply = await send(tenant, `/api/v2/logs?from=${idOf(1)}&take=2`, token);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers["content-type"], "application/json; charset=utf-8");
  assert.equal(reply.text, JSON.stringify(events(5).slice(2, 4)));
  assert.equal(reply.headers.link, `<${tenant.origin}/api/v2/logs?from=${idOf(3)}&take=2>; rel="next"`);
});

test("following the last id reads everything once, and an empty page links to itself", async () => {
  await using server = await tenantWith(120);
  const { tenant, token } = server;
  const read: string[] = [];
  let from = oldest;
  for (const expected of [50, 50, 20, 0]) {
    const reply = await send(tenant, `/api/v2/logs?from=${from}`, token);
    assert.equal(idsIn(reply).length, expected);
    read.push(...idsIn(reply));
    from = read.at(-1) ?? from;
    assert.equal(reply.headers.link, `<${tenant.origin}/api/v2/logs?from=${from}&take=50>; rel="next"`);
  }
  assert.deepEqual(read, tenant.ids());
});

test("a checkpoint read ignores every other parameter", async () => {
  await using server = await tenantWith(4);
  const { tenant, token } = server;
  const query = `from=${oldest}&take=3&q=type:none&sort=date:-1&per_page=1&page=7&fields=type&nonsense=1`;
  assert.deepEqual(idsIn(await send(tenant, `/api/v2/logs?${query}`, token)), [idOf(0), idOf(1), idOf(2)]);
});

test("`take` is a whole number from 1 to 100, and `from` is made of digits", async () => {
  await using server = await tenantWith(1);
  const { tenant, token } = server;
  assert.equal((await send(tenant, `/api/v2/logs?from=${oldest}&take=100`, token)).status, 200);
  for (const query of [
    "from=9&take=101",
    "from=9&take=0",
    "from=9&take=ten",
    "from=",
    "from=undefined",
    "from=null",
  ]) {
    const reply = await send(tenant, `/api/v2/logs?${query}`, token);
    assert.equal(reply.status, 400, query);
    assert.equal((reply.json() as { errorCode: string }).errorCode, "invalid_query_string");
  }
});

test("a late event with a lower id stands in its place", async () => {
  await using server = await tenantWith(3);
  const { tenant, token } = server;
  const late = generate(startMs + 600, 99);
  tenant.append(late);
  const ids = [idOf(0), idOf(1), String(late.log_id), idOf(2)];
  assert.deepEqual(tenant.ids(), ids);
  assert.deepEqual(idsIn(await send(tenant, `/api/v2/logs?from=${oldest}`, token)), ids);
  assert.equal(tenant.count, 4);
  assert.throws(() => tenant.append(late), /already/);
  assert.throws(() => tenant.append({ type: "s" }), /log_id/);
});

test("a raw event is served as it is", async () => {
  await using server = await tenantWith(0);
  const { tenant, token } = server;
  const raw = `{ "log_id":"${idOf(0)}", "date": 12e2, "ключ":"\\u00e9", "big":12345678901234567890 }`;
  tenant.appendRaw(raw, idOf(0));
  assert.equal((await send(tenant, `/api/v2/logs?from=${oldest}`, token)).text, `[${raw}]`);
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(0)}`, token)).text, raw);
});

test("without `from` it searches: newest date first, 50 events, dates rather than ids", async () => {
  await using server = await tenantWith(60);
  const { tenant, token } = server;
  const byDate = events(60)
    .map((event) => [String(event.date), String(event.log_id)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, id]) => id);
  assert.notDeepEqual(byDate, tenant.ids(), "dates must not be in the order of ids here");
  assert.deepEqual(idsIn(await send(tenant, "/api/v2/logs", token)), byDate.toReversed().slice(0, 50));
  const second = await send(tenant, "/api/v2/logs?per_page=20&page=1&sort=date:1", token);
  assert.deepEqual(idsIn(second), byDate.slice(20, 40));
  assert.equal(second.headers.link, undefined);
  // `take` alone does not make it a checkpoint read.
  assert.equal(idsIn(await send(tenant, "/api/v2/logs?take=3", token)).length, 50);
});

test("a search with totals answers an object", async () => {
  await using server = await tenantWith(7);
  const { tenant, token } = server;
  const reply = await send(tenant, "/api/v2/logs?per_page=5&page=1&include_totals=true", token);
  const { logs, ...totals } = reply.json() as { logs: unknown[] };
  assert.deepEqual(totals, { start: 5, limit: 5, length: 2, total: 7 });
  assert.equal(logs.length, 2);
});

test("a search reaches 1,000 results and 100 a page, and knows its parameters", async () => {
  await using server = await tenantWith(0, { backlog: { count: 1_200, fromMs: startMs, stepMs: 10 } });
  const { tenant, token } = server;
  assert.equal(idsIn(await send(tenant, "/api/v2/logs?per_page=100&page=9", token)).length, 100);
  const beyond = await send(tenant, "/api/v2/logs?per_page=100&page=10", token);
  assert.equal(beyond.status, 400);
  assert.match(beyond.text, /exceeds the allowed maximum of 1000 records.*"errorCode":"invalid_paging"/);
  for (const query of ["per_page=101", "per_page=0", "page=-1", "sort=type:1", "cursor=1", "q=type:s"]) {
    assert.equal((await send(tenant, `/api/v2/logs?${query}`, token)).status, 400, query);
  }
});

test("an event can be read by its id", async () => {
  await using server = await tenantWith(3);
  const { tenant, token } = server;
  const reply = await send(tenant, `/api/v2/logs/${idOf(1)}`, token);
  assert.equal(reply.text, JSON.stringify(events(3)[1]));
  const missing = await send(tenant, `/api/v2/logs/${idOf(1, 70)}`, token);
  assert.equal(missing.status, 404);
  const { message, ...body } = missing.json() as Record<string, unknown>;
  assert.equal(typeof message, "string");
  assert.deepEqual(body, { statusCode: 404, error: "Not Found", errorCode: "inexistent_log" });
  assert.deepEqual(tenant.counts, { token: 1, logs: 0, log: 2 });
});

test("unknown paths are 404 and other methods 405", async () => {
  await using server = await tenantWith(0);
  const { tenant, token } = server;
  for (const path of ["/", "/api/v2/users", "/api/v2/logs/", "/api/v1/logs", "/oauth/token/"]) {
    assert.equal((await send(tenant, path, token)).status, 404, path);
  }
  const post = await send(tenant, "/api/v2/logs", { ...token, method: "POST" });
  assert.deepEqual([post.status, post.headers.allow], [405, "GET"]);
  assert.equal((await send(tenant, "/oauth/token", token)).headers.allow, "POST");
  assert.deepEqual(tenant.counts, { token: 1, logs: 0, log: 0 });
});

test("a request needs a good token", async () => {
  let nowMs = startMs;
  await using server = await tenantWith(1, { now: () => nowMs, tokenLifetimeSeconds: 60 });
  const { tenant, token } = server;
  const path = `/api/v2/logs?from=${oldest}`;
  const error = async (authorization?: string) => {
    const reply = await send(tenant, path, authorization === undefined ? {} : { headers: { authorization } });
    return reply.json() as Record<string, unknown>;
  };
  assert.deepEqual(await error(), {
    statusCode: 401,
    error: "Unauthorized",
    message: "Missing authentication",
  });
  assert.deepEqual(await error("Bearer unknown"), {
    statusCode: 401,
    error: "Unauthorized",
    message: "Invalid token",
    attributes: { error: "Invalid token" },
  });
  assert.equal((await error("Basic abc")).statusCode, 400);
  nowMs += 59_999;
  assert.equal((await send(tenant, path, token)).status, 200);
  nowMs += 1;
  assert.equal(
    (await error(token.headers?.authorization)).message,
    "Expired token received for JSON Web Token validation",
  );
});

test("a token without a scope for logs is refused, and either scope will do", async () => {
  for (const [scopes, status] of [
    [["read:users"], 403],
    [["read:logs_users"], 200],
  ] as const) {
    await using server = await tenantWith(1, { scopes });
    const reply = await send(server.tenant, `/api/v2/logs?from=${oldest}`, server.token);
    assert.equal(reply.status, status);
    if (status === 403) {
      assert.deepEqual(reply.json(), {
        statusCode: 403,
        error: "Forbidden",
        message: "Insufficient scope, expected any of: read:logs,read:logs_users",
        errorCode: "insufficient_scope",
      });
    }
  }
});

test("requests beyond the burst are refused until the bucket refills", async () => {
  let nowMs = startMs;
  await using server = await tenantWith(1, { now: () => nowMs, rateLimit: { burst: 2, perSecond: 0.5 } });
  const { tenant, token } = server;
  const limits = async () => {
    const { status, headers } = await send(tenant, `/api/v2/logs?from=${oldest}`, token);
    const reset = Number(headers["x-ratelimit-reset"]) - nowMs / 1000;
    return [
      status,
      headers["x-ratelimit-limit"],
      headers["x-ratelimit-remaining"],
      reset,
      headers["retry-after"],
    ];
  };
  assert.deepEqual(await limits(), [200, "2", "1", 2, undefined]);
  assert.deepEqual(await limits(), [200, "2", "0", 4, undefined]);
  assert.deepEqual(await limits(), [429, "2", "0", 4, "2"]);
  nowMs += 1_000;
  assert.deepEqual(await limits(), [429, "2", "0", 3, "1"]);
  nowMs += 1_000;
  assert.deepEqual(await limits(), [200, "2", "0", 4, undefined]);
  const refused = await send(tenant, `/api/v2/logs/${idOf(0)}`, token);
  assert.deepEqual(refused.json(), {
    statusCode: 429,
    error: "Too Many Requests",
    message: "Global limit has been reached",
    errorCode: "too_many_requests",
  });
  nowMs += 60_000;
  assert.deepEqual(await limits(), [200, "2", "1", 2, undefined]);
});

test("every answer of the API has rate limit headers, and the token endpoint's has none", async () => {
  await using server = await tenantWith(1);
  const { tenant, token } = server;
  for (const path of ["/api/v2/logs", "/api/v2/logs?from=bad", `/api/v2/logs/${idOf(0)}`, "/api/v2/logs/1"]) {
    assert.equal((await send(tenant, path, token)).headers["x-ratelimit-limit"], "1000000", path);
  }
  assert.ok((await send(tenant, "/api/v2/logs")).headers["x-ratelimit-reset"]);
  assert.equal((await send(tenant, "/oauth/token", formOf(tenant))).headers["x-ratelimit-limit"], undefined);
});

test("events older than the retention are gone, wherever they are asked for", async () => {
  let nowMs = startMs + 10_000;
  const backlog = { count: 10, fromMs: startMs - 5_000, stepMs: 500 };
  await using server = await tenantWith(10, { now: () => nowMs, retentionMs: 10_000, backlog });
  const { tenant, token } = server;
  assert.equal(tenant.count, 20);
  const served = async () => idsIn(await send(tenant, `/api/v2/logs?from=${oldest}`, token));
  assert.deepEqual(await served(), tenant.ids().slice(10));
  nowMs += 1_250;
  assert.deepEqual(await served(), tenant.ids().slice(13));
  assert.equal(idsIn(await send(tenant, "/api/v2/logs?sort=date:1", token)).length, 7);
  assert.equal(
    (await send(tenant, "/api/v2/logs?include_totals=true", token)).text.includes('"total":7'),
    true,
  );
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(2)}`, token)).status, 404);
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(3)}`, token)).status, 200);
  assert.equal(tenant.ids().length, 20);
});

test("a token grant is an event of its own when asked for", async () => {
  await using server = await tenantWith(1, { logTokenGrants: true, clientId: "exporter", name: "acme" });
  const { tenant, token } = server;
  const reply = await send(tenant, `/api/v2/logs?from=${idOf(0)}`, token);
  const [grant, ...more] = reply.json() as Record<string, unknown>[];
  assert.deepEqual([grant?.type, grant?.client_id, grant?.tenant_name], ["seccft", "exporter", "acme"]);
  assert.equal(more.length, 0);
  await send(tenant, "/oauth/token", formOf(tenant, { client_secret: "wrong" }));
  assert.equal(tenant.count, 2);
  await login(tenant);
  assert.equal(tenant.count, 3);
});

test("a backlog is computed: every event once, in order, well-formed, before what is appended", async () => {
  const backlog = { count: 2_500, fromMs: startMs - 3_600_000, stepMs: 7 };
  await using server = await tenantWith(3, { backlog, name: "acme" });
  const { tenant, token } = server;
  assert.equal(tenant.count, 2_503);
  const read: string[] = [];
  for (;;) {
    const reply = await send(tenant, `/api/v2/logs?from=${read.at(-1) ?? oldest}&take=100`, token);
    const page = reply.json() as Record<string, unknown>[];
    if (page.length === 0) break;
    for (const event of page) {
      const delayMs = timeOf(String(event.log_id)) - Date.parse(String(event.date));
      assert.equal(event._id, event.log_id);
      assert.ok(delayMs >= 1_300 && delayMs <= 5_000, `delay ${delayMs}`);
      read.push(String(event.log_id));
    }
  }
  assert.equal(read[1_234], eventId(backlog.fromMs + 1_234 * 7, 1_235));
  assert.deepEqual(read.slice(-3), [idOf(0), idOf(1), idOf(2)]);
  assert.deepEqual(read, tenant.ids());
  const one = (await send(tenant, `/api/v2/logs/${read[2_000]}`, token)).json() as Record<string, unknown>;
  assert.deepEqual([one.log_id, one.tenant_name], [read[2_000], "acme"]);
});

test("a search of a backlog is by date", async () => {
  const backlog = { count: 6_000, fromMs: startMs, stepMs: 3 };
  await using server = await tenantWith(0, { backlog });
  const { tenant, token } = server;
  const read = async (sort: string) => {
    const reply = await send(tenant, `/api/v2/logs?per_page=100&page=2&sort=${sort}`, token);
    return (reply.json() as { date: string }[]).map(({ date }) => date);
  };
  const dates: string[] = [];
  for (let from = oldest; ; ) {
    const page = (await send(tenant, `/api/v2/logs?from=${from}&take=100`, token)).json() as Record<
      string,
      string
    >[];
    from = page.at(-1)?.log_id ?? "";
    if (from === "") break;
    dates.push(...page.map((event) => String(event.date)));
  }
  dates.sort();
  assert.equal(dates.length, 6_000);
  assert.deepEqual(await read("date:1"), dates.slice(200, 300));
  assert.deepEqual(await read("date:-1"), dates.toReversed().slice(200, 300));
});

test("a backlog of a million events takes no memory and no time", async () => {
  await using server = await tenantWith(0, { backlog: { count: 1_000_000, fromMs: startMs, stepMs: 1_000 } });
  const { tenant, token } = server;
  const from = eventId(startMs + 765_432 * 1_000, 765_433);
  assert.equal(
    idsIn(await send(tenant, `/api/v2/logs?from=${from}&take=100`, token))[0],
    eventId(startMs + 765_433_000, 765_434),
  );
  assert.ok(process.memoryUsage().heapUsed < 150_000_000);
});

test("faults come in order, each to the first request it is meant for", async () => {
  await using server = await tenantWith(1);
  const { tenant, token } = server;
  tenant.faults.push(
    { status: 500, on: "log" },
    { status: 503, body: { why: "deploy" }, headers: { "retry-after": "7" } },
  );
  tenant.faults.push({ status: 502, body: "<html>", on: "token" });
  assert.equal((await send(tenant, "/oauth/token", formOf(tenant))).text, "<html>");
  const unavailable = await send(tenant, "/api/v2/logs", token);
  assert.deepEqual([unavailable.status, unavailable.headers["retry-after"]], [503, "7"]);
  assert.deepEqual(unavailable.json(), { why: "deploy" });
  assert.equal(unavailable.headers["x-ratelimit-limit"], undefined);
  assert.equal((await send(tenant, "/api/v2/logs", token)).status, 200);
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(0)}`, token)).status, 500);
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(0)}`, token)).status, 200);
  assert.deepEqual(tenant.faults, []);
});

test("a fault without an endpoint leaves the token endpoint alone", async () => {
  await using server = await tenantWith(1);
  server.tenant.faults.push("empty");
  await login(server.tenant);
  assert.equal((await send(server.tenant, "/api/v2/logs", server.token)).text, "");
});

test("bodies that are not what a client expects", async () => {
  await using server = await tenantWith(3);
  const { tenant, token } = server;
  const path = `/api/v2/logs?from=${oldest}`;
  tenant.faults.push("html", "empty", "not-array", "descending");
  const html = await send(tenant, path, token);
  assert.deepEqual([html.status, html.headers["content-type"]], [200, "text/html; charset=utf-8"]);
  assert.match(html.text, /^<!doctype html>/);
  const empty = await send(tenant, path, token);
  assert.deepEqual([empty.status, empty.text, empty.headers["content-length"]], [200, "", "0"]);
  assert.deepEqual((await send(tenant, path, token)).json(), { logs: [] });
  assert.deepEqual(idsIn(await send(tenant, path, token)), [idOf(2), idOf(1), idOf(0)]);
  assert.deepEqual(idsIn(await send(tenant, path, token)), [idOf(0), idOf(1), idOf(2)]);
});

test("a revoked token is revoked for good", async () => {
  await using server = await tenantWith(1);
  const { tenant, token } = server;
  tenant.faults.push("revoke");
  assert.equal((await send(tenant, "/api/v2/logs", token)).status, 401);
  assert.equal((await send(tenant, "/api/v2/logs", token)).status, 401);
  assert.equal((await send(tenant, "/api/v2/logs", await login(tenant))).status, 200);
});

test("a reset and a truncated body end the connection", async () => {
  await using server = await tenantWith(3);
  const { tenant, token } = server;
  tenant.faults.push("reset", { kind: "truncate", on: "logs" });
  await assert.rejects(send(tenant, "/api/v2/logs", token), { code: "ECONNRESET" });
  assert.equal(tenant.requests.at(-1)?.status, 0);
  const keepAlive = { headers: { ...token.headers, connection: "keep-alive" } };
  await assert.rejects(send(tenant, "/api/v2/logs", keepAlive), { code: "ECONNRESET", message: "aborted" });
  assert.equal(tenant.requests.at(-1)?.status, 200);
});

test("a hung request gets nothing, a hung body half of it, and closing ends both", async () => {
  const { tenant, token } = await tenantWith(3);
  const full = (await send(tenant, "/api/v2/logs", token)).text;
  tenant.faults.push("hang", "hang-body");
  const hung = assert.rejects(send(tenant, "/api/v2/logs", token), { code: "ECONNRESET" });
  await waitUntil(() => tenant.faults.length === 1);
  const outgoing = httpsRequest(`${tenant.origin}/api/v2/logs`, {
    ...token,
    ca: tenant.certificate,
    agent: false,
  });
  const [response] = await once(outgoing.end(), "response");
  assert.equal(response.headers["content-length"], String(Buffer.byteLength(full)));
  let bytes = 0;
  const ended = once(response, "error");
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await waitUntil(() => bytes === Buffer.byteLength(full) >> 1);
  await tenant.close();
  await hung;
  await ended;
  assert.equal(bytes, Buffer.byteLength(full) >> 1);
  assert.deepEqual(
    tenant.requests.slice(-2).map(({ status }) => status),
    [0, 200],
  );
});

test("an outage happens to every request until it is over", async () => {
  await using server = await tenantWith(1);
  const { tenant, token } = server;
  tenant.outage = { status: 503 };
  assert.equal((await send(tenant, "/api/v2/logs", token)).status, 503);
  assert.equal((await send(tenant, "/oauth/token", formOf(tenant))).status, 503);
  tenant.outage = { kind: "reset", on: "log" };
  assert.equal((await send(tenant, "/api/v2/logs", token)).status, 200);
  await assert.rejects(send(tenant, `/api/v2/logs/${idOf(0)}`, token), { code: "ECONNRESET" });
  tenant.outage = null;
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(0)}`, token)).status, 200);
});

test("pages take as long as asked", async () => {
  await using server = await tenantWith(1, { pageLatencyMs: 80 });
  const startedMs = performance.now();
  assert.equal((await send(server.tenant, "/api/v2/logs", server.token)).status, 200);
  assert.ok(performance.now() - startedMs >= 79);
});

test("nothing but pages is late, and closing does not wait for a late page", async () => {
  const { tenant, token } = await tenantWith(1, { pageLatencyMs: 3_600_000 });
  const late = assert.rejects(send(tenant, "/api/v2/logs", token), { code: "ECONNRESET" });
  assert.equal((await send(tenant, `/api/v2/logs/${idOf(0)}`, token)).status, 200);
  await waitUntil(() => tenant.counts.logs === 1);
  await tenant.close();
  await late;
});

test("requests are recorded without their secrets, and the oldest are forgotten", async () => {
  await using server = await tenantWith(1, { certificate: null });
  const { tenant, token } = server;
  await send(tenant, `/api/v2/logs?from=${oldest}`, token);
  const [first, second] = tenant.requests;
  assert.deepEqual({ ...first, atMs: 0 }, { method: "POST", url: "/oauth/token", status: 200, atMs: 0 });
  assert.deepEqual(
    { ...second, atMs: 0 },
    { method: "GET", url: `/api/v2/logs?from=${oldest}`, status: 200, atMs: 0 },
  );
  assert.ok(Math.abs(Date.now() - (second?.atMs ?? 0)) < 60_000);
  const secret = token.headers?.authorization?.slice(7) ?? "";
  for (const shown of [JSON.stringify(tenant.requests), inspect(tenant, { depth: 9 })]) {
    assert.ok(!shown.includes(secret) && !shown.includes(tenant.clientSecret));
  }
  const socket = connect(Number(tenant.domain.split(":")[1]), "127.0.0.1");
  socket.resume().write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_050));
  await waitUntil(() => tenant.requests.at(0)?.url === "/nowhere" && tenant.requests.length === 10_000);
  socket.destroy();
});

test("tenants have certificates of their own, or one that is given, or none", async () => {
  await using one = await startTenant();
  await using two = await startTenant();
  assert.notEqual(one.certificate, two.certificate);
  await assert.rejects(send({ ...two, certificate: one.certificate } as Tenant, "/"), {
    code: /SELF_SIGNED_CERT/,
  });
  await using plain = await startTenant({ certificate: null });
  assert.match(plain.origin, /^http:\/\/localhost:\d+$/);
  assert.equal((await send(plain, "/")).status, 404);
});

test("closing ends idle connections and those in their handshake, and twice is fine", async () => {
  const tenant = await startTenant();
  const socket = connect(Number(tenant.domain.split(":")[1]), "127.0.0.1");
  await once(socket, "connect");
  const closed = once(socket, "close");
  await tenant.close();
  await closed;
  await tenant.close();
  await assert.rejects(send(tenant, "/"), { code: "ECONNREFUSED" });
});

/** `fetch` as the SDK wants it, over a connection that trusts this tenant. */
function fetchFrom(tenant: Tenant): typeof fetch {
  return async (input, init) => {
    const headers = Object.fromEntries(new Headers(init?.headers));
    const url = new URL(String(input));
    const { method = "GET", body } = init ?? {};
    const reply = await send(tenant, `${url.pathname}${url.search}`, {
      method,
      headers,
      ...(typeof body === "string" && { body }),
    });
    return new Response(reply.text, {
      status: reply.status,
      headers: reply.headers as Record<string, string>,
    });
  };
}

test("Auth0's own SDK logs in, reads pages and reads one event", async () => {
  await using tenant = await startTenant();
  tenant.append(...events(150));
  const { domain, clientId, clientSecret } = tenant;
  const client = new ManagementClient({ domain, clientId, clientSecret, fetch: fetchFrom(tenant) });
  const read: string[] = [];
  for (let from = oldest; ; from = read.at(-1) ?? "") {
    const response = await client.fetch(
      `${tenant.origin}/api/v2/logs?from=${from}&take=100`,
      {},
      { maxRetries: 0 },
    );
    const page = (await response.json()) as { log_id: string }[];
    if (page.length === 0) break;
    read.push(...page.map((event) => event.log_id));
  }
  assert.deepEqual(read, tenant.ids());
  const newest = await client.logs.list({ per_page: 1, sort: "date:-1" });
  assert.equal(newest.data.length, 1);
  assert.equal((await client.logs.get(idOf(4))).log_id, idOf(4));
  await assert.rejects(client.logs.get("1"), { statusCode: 404 });
  assert.deepEqual(tenant.counts, { token: 1, logs: 4, log: 2 });
});

test("Auth0's own SDK logs in with a private key, and understands the refusals", async () => {
  await using tenant = await startTenant({ clientPublicKey, scopes: ["read:users"] });
  const { domain, clientId } = tenant;
  const clientAssertionSigningKey = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const client = new ManagementClient({
    domain,
    clientId,
    clientAssertionSigningKey,
    fetch: fetchFrom(tenant),
  });
  await assert.rejects(client.logs.list({ per_page: 1 }, { maxRetries: 0 }), Management.ForbiddenError);
  const stranger = new ManagementClient({
    domain,
    clientId,
    clientSecret: "wrong",
    fetch: fetchFrom(tenant),
  });
  await assert.rejects(stranger.logs.list({ per_page: 1 }, { maxRetries: 0 }), {
    statusCode: 401,
    body: { error: "access_denied", error_description: "Unauthorized" },
  });
});
