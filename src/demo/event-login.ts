import { type Connection, digits, hex, letters } from "./event-population.ts";
import { type EventKind, type Scene, visit } from "./event-scene.ts";

/** The steps of a login: each step has its own form, and `identity` is a number for some providers. */
function prompts({ person, random, dateMs }: Scene): Record<string, unknown>[] {
  const elapsedTime = 200 + random.below(900);
  const authenticated = dateMs - 1_000 - random.below(20_000);
  const numeric = person.connection.strategy === "google-oauth2" || random.chance(0.2);
  const steps: Record<string, unknown>[] = [
    {
      name:
        person.connection.strategyType === "database"
          ? "lock-password-authenticate"
          : "federated-authenticate",
      initiatedAt: authenticated - elapsedTime,
      completedAt: authenticated,
      connection: person.connection.name,
      connection_id: person.connection.id,
      strategy: person.connection.strategy,
      identity: numeric ? 10_000 + random.below(90_000) : random.text(hex, 24),
      stats: { loginsCount: 1 + random.below(400) },
      elapsedTime,
    },
    {
      name: "login",
      flow: "login",
      initiatedAt: authenticated - 30_000,
      completedAt: authenticated + 4,
      timers: { rules: random.below(700) },
      user_id: person.id,
      user_name: person.email,
      elapsedTime: 30_004,
    },
  ];
  if (random.chance(0.2)) {
    steps.push({
      name: "mfa",
      flow: "mfa",
      initiatedAt: authenticated + 900,
      completedAt: dateMs - 200,
      provider: "guardian",
      performed_acr: ["http://schemas.openid.net/pape/policies/2007/06/multi-factor"],
      performed_amr: ["mfa"],
      elapsedTime: null,
    });
  }
  return steps;
}

function risk({ random, person }: Scene): Record<string, unknown> {
  return {
    confidence: random.pick(["low", "medium", "high"]),
    version: "1",
    assessments: {
      UntrustedIP: {
        confidence: "low",
        code: "found_on_deny_list",
        details: { ip: person.place.ip, matches: `${person.place.ip}/32`, source: "STOPFORUMSPAM-1" },
      },
      NewDevice: { confidence: "high", code: "match", details: { device: "known", useragent: "known" } },
      ImpossibleTravel: { confidence: "high", code: "minimal_travel_from_last_login" },
    },
  };
}

function login(scene: Scene): Record<string, unknown> {
  const { random, dateMs } = scene;
  const elapsedTime = 900 + random.below(60_000);
  return {
    ...visit(scene),
    details: {
      prompts: prompts(scene),
      initiatedAt: dateMs - elapsedTime,
      completedAt: dateMs - 3,
      elapsedTime,
      session_id: random.text(letters, 32),
      stats: { loginsCount: 1 + random.below(400) },
      ...(random.chance(0.3) && { actions: { executions: [random.text(letters, 60)] } }),
      ...(random.chance(0.15) && { riskAssessment: risk(scene) }),
    },
  };
}

function refusedLogin(scene: Scene, description: string, details: Record<string, unknown>) {
  return { description, ...visit(scene), details };
}

function failedLogin(scene: Scene): Record<string, unknown> {
  const { random, application } = scene;
  const message = random.pick([
    "Unauthorized",
    "Die Anmeldung wurde abgelehnt – bitte «Support» fragen",
    "invalid_request",
  ]);
  return {
    ...refusedLogin(scene, message, {
      error: { message, oauthError: "unauthorized", type: "oauth-authorization" },
      qs: {
        client_id: application.id,
        response_type: "code",
        redirect_uri: "https://portal.example.com/callback?next=%2Fkonto",
        state: random.text(letters, 24),
      },
      session_id: random.text(letters, 32),
    }),
    scope: random.chance(0.5) ? ["openid", "profile", "email"] : "openid profile email",
  };
}

function signup(scene: Scene, connection: Connection): Record<string, unknown> {
  const { person, application, tenant, random } = scene;
  return {
    ...visit(scene),
    connection: connection.name,
    connection_id: connection.id,
    hostname: null,
    audience: null,
    details: {
      body: {
        client_id: application.id,
        connection: connection.name,
        email: person.email,
        email_verified: false,
        name: person.name,
        password: "*****",
        tenant,
        user_metadata: {
          plan: random.pick(["free", "team"]),
          newsletter: random.chance(0.5),
          referrer: null,
        },
        transaction: {
          id: random.text(letters, 32),
          locale: "de-CH",
          protocol: "oidc-basic-profile",
          requested_scopes: ["openid", "profile", "email"],
          response_type: ["code"],
          login_hint: null,
        },
      },
    },
  };
}

function exchange(scene: Scene, details: Record<string, unknown>): Record<string, unknown> {
  const { application, random } = scene;
  return {
    ...visit(scene),
    audience: application.audience,
    scope: random.chance(0.5) ? "openid profile email offline_access" : ["openid", "profile", "email"],
    details,
  };
}

function refusedExchange(scene: Scene, description: string, details: Record<string, unknown>) {
  return {
    description,
    ...visit(scene),
    audience: null,
    scope: null,
    user_id: "",
    user_name: null,
    auth0_client: { name: "auth0-spa-js", version: "2.9.1", env: { browser: "true" } },
    details: { ...details, requested_client_id: scene.application.id },
  };
}

function logout(scene: Scene): Record<string, unknown> {
  return {
    description: "User successfully logged out",
    ...visit(scene),
    details: {
      return_to: "https://portal.example.com/abgemeldet",
      allowed_logout_url: ["https://portal.example.com", "http://localhost:3000"],
      session_id: scene.random.text(letters, 32),
      initiated_by: "user",
    },
  };
}

function passwordlessCode(scene: Scene): Record<string, unknown> {
  const { person, application, tenant, random } = scene;
  return {
    description: "Passwordless login code sent",
    ...visit(scene),
    details: {
      body: { client_id: application.id, connection: "email", email: person.email, send: "code", tenant },
      link: `https://${scene.hostname}/passwordless/verify_redirect?verification_code=******`,
      transaction_id: random.text(digits, 18),
    },
  };
}

/** Logging in and out, signing up, exchanging codes for tokens. */
export const loginEvents: Readonly<Record<string, EventKind>> = {
  s: { weight: 220, build: login },
  ssa: { weight: 90, build: login },
  fsa: {
    weight: 25,
    build: (scene) => ({
      description: "Login required",
      ...visit(scene),
      audience: scene.application.audience,
      details: {},
    }),
  },
  ss: { weight: 18, build: (scene) => signup(scene, scene.person.connection) },
  fs: {
    weight: 4,
    build: (scene) => refusedLogin(scene, "The user already exists.", { grant_type: "password" }),
  },
  f: { weight: 22, build: failedLogin },
  fp: {
    weight: 35,
    build: (scene) =>
      refusedLogin(scene, "Wrong email or password.", { error: { message: "Wrong email or password." } }),
  },
  fu: {
    weight: 15,
    build: (scene) => ({
      ...refusedLogin(scene, "Wrong email or password.", { error: { message: "Wrong email or password." } }),
      user_id: "",
      user_name: "nobody@пример.example",
    }),
  },
  slo: { weight: 45, build: logout },
  flo: {
    weight: 2,
    build: (scene) => ({ ...logout(scene), description: 'The "returnTo" URL is not allowed' }),
  },
  cls: { weight: 10, build: passwordlessCode },
  seacft: {
    weight: 150,
    build: (scene) =>
      exchange(scene, {
        code: `**********${scene.random.text(letters, 3)}`,
        access_token_jti: scene.random.text(hex, 22),
      }),
  },
  sertft: {
    weight: 110,
    build: (scene) =>
      exchange(scene, {
        familyId: scene.random.text(letters, 22),
        tokenCounter: scene.random.below(300),
        requested_scope: "",
        refresh_token: { access: "offline", session_id: scene.random.text(letters, 32) },
      }),
  },
  sepft: { weight: 4, build: (scene) => exchange(scene, {}) },
  feacft: {
    weight: 8,
    build: (scene) =>
      refusedExchange(scene, "Invalid authorization code", {
        code: `**********${scene.random.text(letters, 3)}`,
      }),
  },
  fertft: {
    weight: 12,
    build: (scene) =>
      refusedExchange(scene, "Unknown or invalid refresh token.", { failure_reason: "invalid_token" }),
  },
  fepft: { weight: 4, build: (scene) => refusedExchange(scene, "Wrong email or password.", {}) },
  w: {
    weight: 10,
    build: (scene) => ({
      description:
        "This connection uses development keys, which are meant for testing only. Configure it with keys of your own.",
      ...visit(scene),
      audience: scene.application.audience,
      scope: ["openid", "profile"],
      details: { method: "GET", path: "/login/callback", session_id: scene.random.text(letters, 32) },
    }),
  },
};
