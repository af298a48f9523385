import { digits, hex, letters, type Random } from "./event-population.ts";
import { type EventKind, type Scene, visit } from "./event-scene.ts";

function accountChange(scene: Scene, description: string, details: Record<string, unknown>) {
  return { description, ...visit(scene), hostname: null, details };
}

/** What was asked for and typed in; each outcome adds its own words. */
function newPassword(scene: Scene, description: string, outcome: Record<string, unknown>) {
  const { person, application, random, tenant } = scene;
  return accountChange(scene, description, {
    ...outcome,
    query: {
      tenant,
      client_id: application.id,
      connection: person.connection.name,
      user_id: person.id,
      email: person.email,
      username: null,
      includeEmailInRedirect: false,
      markEmailAsVerified: true,
      newPassword: "*****",
      resultUrl: "https://portal.example.com/willkommen-zurück",
    },
    body: {
      _csrf: "*****",
      newPassword: "*****",
      confirmNewPassword: "*****",
      ticket: `**********${random.text(letters, 3)}`,
    },
  });
}

function verifyEmail(scene: Scene): Record<string, unknown> {
  const { person, application, random, tenant } = scene;
  return accountChange(scene, "Your email was verified. You can continue using the application.", {
    title: "Email Verified",
    email: person.email,
    query: {
      tenant,
      client_id: application.id,
      connection: person.connection.name,
      user_id: person.id,
      email: person.email,
      includeEmailInRedirect: false,
      resultUrl: "https://portal.example.com/",
    },
    body: { tenant, ticket: `**********${random.text(letters, 3)}` },
  });
}

function changeEmail(scene: Scene): Record<string, unknown> {
  const { person, application, tenant } = scene;
  return accountChange(scene, "", {
    body: {
      tenant,
      client_id: application.id,
      connection: person.connection.name,
      user_id: person.id,
      email: person.email,
      newEmail: `neu.${person.email}`,
      email_verified: "false",
      verify: true,
    },
  });
}

/** Somebody attacks: the event names who was attacked, from where, and no session. */
function attack(scene: Scene, description: string, details: unknown): Record<string, unknown> {
  return { description, ...visit(scene), strategy: null, strategy_type: null, details };
}

function enrollment(scene: Scene): Record<string, unknown> {
  const { person, random, tenant } = scene;
  return {
    _id: `gde_${random.text(letters, 20)}`,
    identifier: random.text(hex, 40),
    name: `iPhone von ${person.name}`,
    phone_number: random.chance(0.5) ? `XXXXXXXX${random.text(digits, 4)}` : null,
    tenant,
    user_id: person.id,
  };
}

/** Multi-factor authentication is a service of its own, with events of its own form. */
function guardian(
  scene: Scene,
  description: string,
  type: "sms" | "push" | "otp",
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const { person, random } = scene;
  return {
    description,
    ip: person.place.ip,
    user_agent: person.userAgent,
    client_id: null,
    client_name: null,
    user_id: person.id,
    user_name: person.name,
    details: {
      authenticator: {
        id: null,
        type,
        phone_number: type === "sms" ? `XXXXXXXX${random.text(digits, 4)}` : null,
      },
      enrollment: enrollment(scene),
      first_factor: false,
      device_id: random.text(letters, 22),
      session_id: random.text(letters, 32),
      request: guardianRequest(scene, type),
      response: { statusCode: 204, body: {} },
      ...more,
    },
  };
}

function guardianRequest({ person, random }: Scene, type: string): Record<string, unknown> {
  return {
    method: "POST",
    path: `/api/verify-${type}`,
    query: "",
    ip: person.place.ip,
    userAgent: "Guardian.Android/1.9.4 (Pixel 9; Android 15)",
    auth: { strategy: "jwt", scopes: ["transaction:otp"] },
    body: { code: "*".repeat(6), transaction: random.text(letters, 24) },
  };
}

function notificationFailed(scene: Scene): Record<string, unknown> {
  const { person, application, random } = scene;
  return {
    description: `To: ${person.email}`,
    connection: null,
    connection_id: "",
    organization_id: null,
    organization_name: null,
    client_id: application.id,
    client_name: null,
    ip: person.place.ip,
    hostname: null,
    user_agent: "Other 0.0.0 / Other 0.0.0",
    details: {
      to: person.email,
      email_type: random.pick(["verify_email", "organization_invitation", "reset_email"]),
      notification_type: "email",
      error: "550 5.7.1 Service unavailable; client host blocked using «zen.example», contact the postmaster",
    },
    user_id: "",
    user_name: person.email,
    audience: null,
    scope: null,
    strategy: null,
    strategy_type: null,
    location_info: null,
    isMobile: false,
  };
}

function invitation(scene: Scene): Record<string, unknown> {
  const { person, application, random, dateMs } = scene;
  return accountChange(scene, "User accepted the invitation", {
    invitation: {
      id: `uinv_${random.text(letters, 16)}`,
      client_id: application.id,
      created_at: new Date(dateMs - 86_400_000).toISOString(),
      expires_at: new Date(dateMs + 6 * 86_400_000).toISOString(),
      invitee: { email: person.email },
      inviter: { name: person.name, organization_id: "org_R7fHd1JmGp8EaU5o" },
      roles: [],
      ticket_id: random.text(letters, 32),
    },
  });
}

function provisioning(scene: Scene): Record<string, unknown> {
  const { machine, person, random } = scene;
  return {
    description: "User updated",
    client_id: machine.id,
    client_name: machine.name,
    ip: person.place.ip,
    user_agent: "Other 0.0.0 / Other 0.0.0",
    details: {
      action: "update",
      connection_id: person.connection.id,
      request: {
        method: "PATCH",
        path: `/scim/v2/connections/${person.connection.id}/Users/${encodeURIComponent(person.id)}`,
        query: {},
        ip: person.place.ip,
        userAgent: "Okta SCIM Client 1.0.0",
        body: {
          schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
          Operations: [
            { op: "replace", path: "displayName", value: person.name },
            { op: "remove", path: "title" },
          ],
          externalId: random.text(hex, 32),
        },
      },
      response: { statusCode: 200 },
    },
    isMobile: false,
  };
}

const attempts = (random: Random) => 10 + random.below(90);

/** What happens to accounts: self-service, attacks, multi-factor authentication, invitations. */
export const accountEvents: Readonly<Record<string, EventKind>> = {
  scp: {
    weight: 8,
    build: (scene) =>
      newPassword(scene, "You can now login to the application with the new password.", {
        title: "Password Changed!",
        email: scene.person.email,
      }),
  },
  fcp: {
    weight: 3,
    build: (scene) => newPassword(scene, "Password is too weak", { description: "Password is too weak" }),
  },
  scpr: {
    weight: 9,
    build: (scene) =>
      accountChange(scene, "", {
        body: {
          email: scene.person.email,
          connection: scene.person.connection.name,
          tenant: scene.tenant,
          verify: true,
        },
        resetUrl: `https://${scene.hostname}/lo/reset?ticket=******#`,
      }),
  },
  sv: { weight: 12, build: verifyEmail },
  sce: { weight: 3, build: changeEmail },
  sdu: {
    weight: 3,
    build: (scene) =>
      accountChange(scene, "", { body: { connection: scene.person.connection.name, tenant: scene.tenant } }),
  },
  du: {
    weight: 3,
    build: (scene) => accountChange(scene, `user_id: ${scene.person.id}`, { body: {}, is_signup: false }),
  },
  limit_wc: {
    weight: 6,
    build: (scene) => attack(scene, `${attempts(scene.random)} failed logins from one address`, null),
  },
  limit_mu: { weight: 4, build: (scene) => attack(scene, "Too many failed logins", { flow: "login" }) },
  limit_sul: { weight: 4, build: (scene) => attack(scene, "Too many logins of one user", {}) },
  pwd_leak: {
    weight: 4,
    build: (scene) =>
      attack(scene, "This password was part of a data breach", { connection: "database", hits: 3 }),
  },
  gd_start_auth: {
    weight: 10,
    build: (scene) => guardian(scene, "Second factor authentication started", "push"),
  },
  gd_send_sms: {
    weight: 10,
    build: (scene) => guardian(scene, "Second factor SMS sent", "sms", { provider_error: null }),
  },
  gd_send_pn: {
    weight: 8,
    build: (scene) => guardian(scene, "Second factor push notification sent", "push"),
  },
  gd_auth_succeed: {
    weight: 14,
    build: (scene) => guardian(scene, "Second factor authentication succeeded", "otp"),
  },
  gd_auth_failed: {
    weight: 5,
    build: (scene) =>
      guardian(scene, "Second factor authentication failed: «invalid code»", "otp", {
        failure_details: { errorCode: "invalid_otp", message: "Invalid otp code" },
        response: { statusCode: 403, body: { errorCode: "invalid_otp" } },
      }),
  },
  gd_auth_rejected: { weight: 3, build: (scene) => guardian(scene, "Push notification rejected", "push") },
  gd_enrollment_complete: { weight: 4, build: (scene) => guardian(scene, "Enrollment complete", "push") },
  gd_otp_rate_limit_exceed: { weight: 3, build: (scene) => guardian(scene, "Too many attempts", "otp") },
  gd_unenroll: { weight: 3, build: (scene) => guardian(scene, "Device unenrolled", "push") },
  fn: { weight: 5, build: notificationFailed },
  si: { weight: 3, build: invitation },
  organization_member_added: {
    weight: 4,
    build: (scene) => ({ ...visit(scene), description: "Member added", details: { reason: "invitation" } }),
  },
  sscim: { weight: 8, build: provisioning },
};
