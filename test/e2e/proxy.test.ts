import { deepEqual, equal, match, ok } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertExactlyOnce, createRig, type Rig, recordOf } from "../support/exporter.ts";
import { startProxy, startTlsFront } from "../support/proxy.ts";

/** All three services behind HTTPS, and the settings that name them. */
async function withHttps(rig: Rig) {
  const cloudwatch = await startTlsFront(Number(new URL(rig.cloudwatch.url).port));
  const slack = await startTlsFront(Number(new URL(rig.slack.url).port));
  const trusted = join(rig.dir, "trusted.pem");
  await writeFile(trusted, [rig.tenant.certificate, cloudwatch.certificate, slack.certificate].join("\n"));
  const env = {
    NODE_EXTRA_CA_CERTS: trusted,
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: `https://${cloudwatch.host}`,
    SLACK_INCOMING_WEBHOOK_URL: `https://${slack.host}${new URL(rig.slack.url).pathname}`,
    SLACK_SEND_SUCCESS: "true",
  };
  const hosts = { auth0: rig.tenant.domain, cloudwatch: cloudwatch.host, slack: slack.host };
  const close = async () => {
    await Promise.all([cloudwatch, slack].map((front) => front[Symbol.asyncDispose]()));
  };
  return { env, hosts, [Symbol.asyncDispose]: close };
}

/** Nobody listens there: it is a privileged port that was never assigned. */
const nobody = "127.0.0.1:4";

describe("a proxy", { concurrency: 3 }, () => {
  for (const name of ["HTTPS_PROXY", "https_proxy"]) {
    test(`in ${name} carries all requests to Auth0, AWS and Slack`, async () => {
      await using proxy = await startProxy();
      await using rig = await createRig();
      await using https = await withHttps(rig);
      const ids = rig.produce(150);
      const { code, stderr } = await rig.run(["run"], { ...https.env, [name]: proxy.url });
      equal(code, 0, stderr);
      assertExactlyOnce(rig.held(), ids);
      equal(rig.slack.messages.length, 1, stderr);
      deepEqual(new Set(proxy.targets), new Set(Object.values(https.hosts)));
    });
  }

  test("in HTTP_PROXY carries requests to plain HTTP", async () => {
    await using proxy = await startProxy();
    await using rig = await createRig();
    const ids = rig.produce(10);
    const env = {
      SLACK_INCOMING_WEBHOOK_URL: rig.slack.url,
      SLACK_SEND_SUCCESS: "true",
      HTTP_PROXY: proxy.url,
    };
    const { code, stderr } = await rig.run(["run"], env);
    equal(code, 0, stderr);
    assertExactlyOnce(rig.held(), ids);
    equal(rig.slack.messages.length, 1, stderr);
    for (const url of [rig.cloudwatch.url, rig.slack.url]) ok(proxy.targets.includes(new URL(url).host), url);
  });

  test("is not used for what NO_PROXY names", async () => {
    await using proxy = await startProxy();
    await using rig = await createRig();
    await using https = await withHttps(rig);
    const ids = rig.produce(10);
    const { auth0, cloudwatch, slack } = https.hosts;
    const env = { ...https.env, HTTPS_PROXY: proxy.url, NO_PROXY: `${auth0},${cloudwatch}` };
    const { code, stderr } = await rig.run(["run"], env);
    equal(code, 0, stderr);
    assertExactlyOnce(rig.held(), ids);
    deepEqual(new Set(proxy.targets), new Set([slack]));
  });

  test("that wants a user name and a password gets them", async () => {
    await using proxy = await startProxy({ credentials: "exporter:pr0xy-passw0rd" });
    await using rig = await createRig();
    rig.secrets.add("pr0xy-passw0rd");
    await using https = await withHttps(rig);
    const ids = rig.produce(10);
    const { code, stderr } = await rig.run(["run"], { ...https.env, HTTPS_PROXY: proxy.url });
    equal(code, 0, stderr);
    assertExactlyOnce(rig.held(), ids);
    equal(rig.slack.messages.length, 1, stderr);
  });

  test("that refuses the password fails the run and is named; the password is not shown", async () => {
    await using proxy = await startProxy({ credentials: "exporter:pr0xy-passw0rd" });
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1" } });
    rig.secrets.add("wr0ng-passw0rd");
    rig.produce(10);
    await using https = await withHttps(rig);
    const wrong = proxy.url.replace("pr0xy", "wr0ng");
    const forAuth0 = await rig.run(["run", "--json"], { ...https.env, HTTPS_PROXY: wrong });
    equal(forAuth0.code, 1);
    match(recordOf(forAuth0).error?.message ?? "", /407/);
    const forAws = await rig.run(["run", "--json"], {
      ...https.env,
      HTTPS_PROXY: wrong,
      NO_PROXY: https.hosts.auth0,
    });
    equal(forAws.code, 1);
    match(recordOf(forAws).error?.message ?? "", /407|proxy/i);
    equal(rig.held().size, 0);
  });

  test("that is down is a passing fault that names it", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1" } });
    rig.produce(10);
    const env = { HTTPS_PROXY: `http://${nobody}`, HTTP_PROXY: `http://${nobody}` };
    const forAuth0 = await rig.run(["run", "--json"], env);
    equal(forAuth0.code, 1);
    const forAws = await rig.run(["run", "--json"], { ...env, NO_PROXY: "localhost" });
    equal(forAws.code, 1);
    for (const { error } of [recordOf(forAuth0), recordOf(forAws)]) {
      equal(error?.kind, "transient");
      match(error?.message ?? "", new RegExp(`ECONNREFUSED ${nobody}`));
    }
    ok(rig.tenant.counts.logs > 0 && rig.held().size === 0);
  });
});
