import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { levelNames, logType, logTypes, nearTypes } from "../../src/auth0/log-types.ts";

/** The levels of the older extension (auth0-log-extension-tools, `src/logTypes.js`): 98 codes, none of level 0. */
const olderLevels: Readonly<Record<number, string>> = {
  1: `admin_update_launch cls con cs gd_auth_succeed gd_enrollment_complete gd_module_switch gd_recovery_succeed
    gd_send_email gd_send_pn gd_send_sms gd_start_auth gd_start_enroll gd_tenant_update gd_unenroll
    gd_update_device_account gd_user_delete s sapi sce scoa scp scph scpn scpr scu sd sdu seacft seccft sens seoobft
    seotpft sepft sercft sertft slo ss ssa sui sv svr sys_os_update_end sys_os_update_start sys_update_end
    sys_update_start ublkdu`,
  2: "depnote fui gd_otp_rate_limit_exceed gd_recovery_rate_limit_exceed w",
  3: `coff du f fapi fc fce fco fcoa fcp fcph fcpn fcpr fcu fd fdu feacft feccft fens feoobft feotpft fepft fercft
    ferrt fertft flo fn fp fpurh fs fsa fu fv fvr gd_auth_failed gd_auth_rejected gd_recovery_failed
    gd_send_pn_failure gd_send_sms_failure gd_start_enroll_failed pwd_leak`,
  4: "api_limit fcpro limit_delegation limit_mu limit_ui limit_wc",
};
const olderCodes = Object.entries(olderLevels).flatMap(([level, codes]) =>
  codes.split(/\s+/).map((code) => ({ code, level: Number(level) })),
);

/** Codes that the older extension lacked, for which Auth0's page "Log Event Filters" gives a severity. */
const severities = {
  1: ["gd_send_email", "mgmt_api_read", "oidc_backchannel_logout_succeeded", "secte", "sede"],
  3: ["fdeac", "fdeaz", "fdecc", "fecte", "fede", "oidc_backchannel_logout_failed"],
};

const codesWhere = (test: (type: (typeof logTypes)[number]) => boolean) =>
  logTypes.filter(test).map(({ code }) => code);

describe("the catalogue of type codes", () => {
  it("has 185 codes, each once, in order", () => {
    const codes = logTypes.map(({ code }) => code);
    assert.equal(codes.length, 185);
    assert.deepEqual(codes, [...new Set(codes)].sort());
  });

  it("has a name and a known level for each", () => {
    for (const { code, name, level, category } of logTypes) {
      assert.match(code, /^[a-z_]+$/);
      assert.match(name, /^\S.*\S$/, code);
      assert.ok(levelNames[level] !== undefined, code);
      assert.ok(category === null || /^[a-z_.]+$/.test(category), code);
    }
  });

  it("looks codes up as they are written", () => {
    assert.deepEqual(logType("fp"), {
      code: "fp",
      name: "Failed Login (Incorrect Password)",
      level: 3,
      category: "auth.login.fail",
    });
    for (const unknown of ["", "FP", " fp", "nope", "constructor", "__proto__", "toString"])
      assert.equal(logType(unknown), undefined);
    for (const type of logTypes) assert.equal(logType(type.code), type);
  });
});

describe("the levels of type codes", () => {
  it("are the older extension's where it had one", () => {
    assert.equal(olderCodes.length, 98);
    for (const { code, level } of olderCodes) assert.equal(logType(code)?.level, level, code);
  });

  it("are Auth0's severity where it gives one", () => {
    for (const [level, codes] of Object.entries(severities))
      for (const code of codes) assert.equal(logType(code)?.level, Number(level), code);
  });

  it("are critical for the older six and whatever else is a limit that blocks", () => {
    const limits = codesWhere(({ code }) => code.startsWith("limit_"));
    assert.ok(limits.includes("limit_sul") && limits.includes("limit_phone"));
    assert.deepEqual(
      codesWhere(({ level }) => level === 4),
      [...new Set([...limits, "api_limit", "fcpro"])].sort(),
    );
  });

  it("are warnings for what warns", () => {
    assert.equal(
      codesWhere(({ level }) => level === 2).join(" "),
      "api_limit_warning depnote fui gd_otp_rate_limit_exceed gd_recovery_rate_limit_exceed too_many_records w wn wum",
    );
  });

  it("are errors for what failed and information for what succeeded", () => {
    const failed = codesWhere(({ code, name }) => /failed|failure|error/i.test(`${code} ${name}`));
    const succeeded = codesWhere(({ code, name }) =>
      /^success|_succeeded$|_success$/i.test(`${name} ${code}`),
    );
    assert.ok(failed.length > 60 && succeeded.length > 50);
    const others: Record<string, number> = {
      fcpro: 4,
      fui: 2,
      gd_otp_rate_limit_exceed: 2,
      gd_recovery_rate_limit_exceed: 2,
    };
    for (const code of failed) assert.equal(logType(code)?.level, others[code] ?? 3, code);
    for (const code of succeeded) assert.equal(logType(code)?.level, 1, code);
    for (const code of ["pwd_leak", "reset_pwd_leak", "signup_pwd_leak"])
      assert.equal(logType(code)?.level, 3);
  });

  it("are never debug", () => {
    assert.deepEqual(
      codesWhere(({ level }) => level === 0),
      [],
    );
  });
});

describe("near matches of an unknown type code", () => {
  it("are the codes that were probably meant", () => {
    assert.equal(nearTypes("limit_slu")[0], "limit_sul");
    assert.equal(nearTypes("seccftt")[0], "seccft");
    assert.equal(nearTypes("mgmt_api_reads")[0], "mgmt_api_read");
    assert.equal(nearTypes("FP")[0], "fp");
  });

  it("are at most as many as asked for, and none when nothing is near", () => {
    assert.equal(nearTypes("fx").length, 3);
    assert.equal(nearTypes("fx", 1).length, 1);
    assert.deepEqual(nearTypes("no_such_type_code_at_all"), []);
    assert.deepEqual(nearTypes(""), []);
  });
});

describe("the README", () => {
  it("shows the levels as the catalogue has them", async () => {
    const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
    const shown = /<!-- log-levels -->\n(.*?)<!-- \/log-levels -->/s.exec(readme)?.[1];
    assert.equal(shown?.trim(), renderLevelTable());
  });
});

function renderLevelTable(): string {
  const rows = levelNames.map((name, level) => {
    const codes = codesWhere((type) => type.level === level).map((code) => `\`${code}\``);
    return `| ${level} | \`${name}\` | ${codes.join(" ") || "none"} |`;
  });
  return ["| level | name | codes |", "|---|---|---|", ...rows].join("\n");
}
