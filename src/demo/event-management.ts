import { hex, letters } from "./event-population.ts";
import type { EventKind, Scene } from "./event-scene.ts";

const resources = `actions attack_protection authentication_methods branding client_credentials client_grants
  client_keys clients connections connections_options custom_domains device_credentials email_provider
  email_templates encryption_keys entitlements event_streams flows forms grants guardian_enrollments
  guardian_factors hooks insights log_streams logs mfa_policies organization_connections organization_invitations
  organization_members organizations phone_providers prompts resource_servers roles rules
  self_service_profiles sessions shields signing_keys stats tenant_settings triggers user_idp_tokens users
  users_app_metadata`.split(/\s+/);
const allScopes = ["read", "update", "create", "delete"].flatMap((verb) =>
  resources.map((resource) => `${verb}:${resource}`),
);

/** An operation that the Management API logs: what was called, what was sent, what came back. */
interface Operation {
  readonly description: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly statusCode: number;
  readonly answer: unknown;
}

function operation(scene: Scene): Operation {
  const { person, random, tenant } = scene;
  const id = encodeURIComponent(person.id);
  const profile = {
    email: person.email,
    name: person.name,
    blocked: false,
    email_verified: random.chance(0.5),
    app_metadata: { roles: ["leser", "prüfer"], costCenter: 4200 + random.below(100), limits: null },
    user_metadata: { motto: "“carpe diem” – 日々是好日\n", ratio: 0.30000000000000004 },
  };
  const at = new Date(scene.dateMs - 11).toISOString();
  return random.pick<Operation>([
    {
      description: "Create a User",
      method: "post",
      path: "/api/v2/users",
      body: { ...profile, connection: person.connection.name, password: "*****", verify_email: false },
      statusCode: 201,
      answer: {
        ...profile,
        user_id: person.id,
        identities: [{ connection: person.connection.name, provider: "auth0", isSocial: false, user_id: id }],
        created_at: at,
        updated_at: at,
      },
    },
    {
      description: "Update a User",
      method: "patch",
      path: `/api/v2/users/${id}`,
      body: { app_metadata: profile.app_metadata },
      statusCode: 200,
      answer: { ...profile, user_id: person.id, updated_at: at },
    },
    {
      description: "Add members to an organization",
      method: "post",
      path: "/api/v2/organizations/org_q4ZtBn9XwKc2VsLy/members",
      body: { members: [person.id] },
      statusCode: 204,
      answer: {},
    },
    {
      description: "Update tenant settings",
      method: "patch",
      path: "/api/v2/tenants/settings",
      body: { friendly_name: "Prüfstand – Demo", session_lifetime: 168, flags: { enable_sso: true } },
      statusCode: 200,
      answer: { friendly_name: "Prüfstand – Demo", default_directory: "", picture_url: null, tenant },
    },
  ]);
}

/** In the dashboard a person acts, with every scope there is; over the API an application does. */
function actor(scene: Scene, everyScope: boolean): Record<string, unknown> {
  const { random, person } = scene;
  if (everyScope) {
    return {
      user: { user_id: person.id, name: person.name, email: person.email },
      strategy: "jwt",
      credentials: { jti: random.text(hex, 32), scopes: allScopes },
    };
  }
  return random.chance(0.5)
    ? { user: {}, strategy: "jwt", credentials: { jti: random.text(hex, 32) } }
    : { user: {}, strategy: "jwt", credentials: null };
}

function apiCall(scene: Scene, refused: boolean): Record<string, unknown> {
  const { machine, person, random } = scene;
  const { description, method, path, body, statusCode, answer } = operation(scene);
  const dashboard = random.chance(0.12);
  return {
    description: refused ? "You reached the limit of entities of this type for this tenant" : description,
    connection: null,
    connection_id: null,
    organization_id: null,
    organization_name: null,
    client_id: machine.id,
    client_name: "",
    ip: person.place.ip,
    hostname: null,
    user_agent: dashboard ? person.userAgent : "Other 0.0.0 / Other 0.0.0",
    details: {
      request: {
        method,
        path,
        query: {},
        userAgent: dashboard
          ? "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
          : "Go-Auth0/1.31.0 (linux; amd64)",
        body,
        channel: dashboard ? "https://manage.auth0.com/" : "api",
        ip: person.place.ip,
        auth: actor(scene, dashboard),
      },
      response: refused
        ? { statusCode: 403, body: { statusCode: 403, error: "Forbidden", errorCode: "too_many_entities" } }
        : { statusCode, body: answer },
    },
    user_id: dashboard ? person.id : null,
    user_name: null,
    audience: null,
    scope: null,
    strategy: null,
    strategy_type: null,
    location_info: null,
    isMobile: false,
  };
}

function secretRead(scene: Scene): Record<string, unknown> {
  const { person, application, machine, random } = scene;
  return {
    description: "Get client by ID",
    client_id: machine.id,
    client_name: "",
    ip: person.place.ip,
    user_agent: person.userAgent,
    details: {
      accessedSecrets: ["client_secret"],
      request: {
        method: "get",
        path: `/api/v2/clients/${application.id}`,
        query: { include_fields: "true" },
        userAgent:
          "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
        channel: "https://manage.auth0.com/",
        ip: person.place.ip,
        auth: {
          user: { user_id: person.id, name: person.name, email: person.email },
          strategy: "jwt",
          credentials: { jti: random.text(hex, 32) },
        },
      },
      response: { statusCode: 200, body: { client_id: application.id } },
    },
    user_id: person.id,
    isMobile: false,
  };
}

/** A machine has no user: its `user_id` is the empty string. */
function machineExchange(scene: Scene, refused: boolean): Record<string, unknown> {
  const { machine, person, random } = scene;
  return {
    description: refused ? "Unauthorized" : "Client Credentials for Access Token",
    connection_id: "",
    client_id: machine.id,
    client_name: machine.name,
    ip: person.place.ip,
    user_agent: "Other 0.0.0 / Other 0.0.0",
    hostname: scene.hostname,
    user_id: "",
    user_name: "",
    audience: machine.audience,
    scope: refused ? null : random.chance(0.5) ? "read:orders write:orders" : ["read:orders", "write:orders"],
    strategy: null,
    strategy_type: null,
    auth0_client: { name: "node-auth0", version: "7.1.0", env: { node: "24.21.0" } },
    security_context: { ja3: random.text(hex, 32) },
    details: refused
      ? {}
      : { access_token_jti: random.text(hex, 22), actions: { executions: [random.text(letters, 60)] } },
    isMobile: false,
  };
}

function limitReached(scene: Scene, usage: number | null): Record<string, unknown> {
  const { machine, person } = scene;
  return {
    description: usage === null ? "Global limit has been reached" : "Global limit is about to be reached",
    connection_id: "",
    client_id: machine.id,
    client_name: machine.name,
    ip: person.place.ip,
    user_agent: "Other 0.0.0 / Other 0.0.0",
    hostname: scene.hostname,
    user_id: "",
    user_name: null,
    strategy: null,
    strategy_type: null,
    auth0_client: { name: "auth0-deploy-cli", version: "8.21.0", env: { node: "24.21.0" } },
    details: {
      limit: { bucket: "global", global: true, size: 50, ...(usage !== null && { usage }) },
      request: { method: "get", path: "/api/v2/users/{id}/roles" },
      response: "",
    },
    isMobile: false,
  };
}

function actionFailed(scene: Scene): Record<string, unknown> {
  const { person, application, random } = scene;
  return {
    description: "An error occurred while executing an Action",
    connection: person.connection.name,
    connection_id: person.connection.id,
    client_id: application.id,
    client_name: application.name,
    ip: person.place.ip,
    user_agent: person.userAgent,
    hostname: scene.hostname,
    user_id: person.id,
    user_name: person.email,
    strategy: person.connection.strategy,
    strategy_type: person.connection.strategyType,
    details: {
      action_id: random.text(hex, 32),
      action_name: "Rollen ergänzen",
      binding_id: random.text(hex, 32),
      version_id: random.text(hex, 32),
      execution_id: random.text(letters, 60),
      trigger_id: "post-login",
      error_class: "action_error",
      action_error: {
        code: "ERR_UNHANDLED",
        name: "TypeError",
        message: "Cannot read properties of undefined (reading 'roles')",
        stack:
          "TypeError: Cannot read properties of undefined (reading 'roles')\n    at exports.onExecutePostLogin (/data/io/node24/post-login.js:12:31)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
      },
    },
  };
}

/** What applications, administrators and the tenant's own code do. */
export const managementEvents: Readonly<Record<string, EventKind>> = {
  sapi: { weight: 90, build: (scene) => apiCall(scene, false) },
  fapi: { weight: 5, build: (scene) => apiCall(scene, true) },
  mgmt_api_read: { weight: 12, build: secretRead },
  seccft: { weight: 70, build: (scene) => machineExchange(scene, false) },
  feccft: { weight: 6, build: (scene) => machineExchange(scene, true) },
  api_limit: { weight: 4, build: (scene) => limitReached(scene, null) },
  api_limit_warning: { weight: 4, build: (scene) => limitReached(scene, 40 + scene.random.below(10)) },
  actions_execution_failed: { weight: 5, build: actionFailed },
};
