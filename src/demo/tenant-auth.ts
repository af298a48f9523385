import { constants, createPublicKey, type KeyObject, randomBytes, verify } from "node:crypto";
import { type Answer, apiError, json, oauthError } from "./tenant-answer.ts";

export interface TenantAuthOptions {
  readonly clientId: string;
  readonly clientSecret: string;
  /** PEM of the client's public key; without it no client assertion is accepted. */
  readonly clientPublicKey: string | undefined;
  /** The tenant's own URL, with a slash at the end. */
  readonly issuer: string;
  readonly audience: string;
  readonly scopes: readonly string[];
  readonly tokenLifetimeSeconds: number;
  now(): number;
}

export interface TenantAuth {
  /** Answers a token request with this form. */
  grant(form: URLSearchParams): Answer;
  /** The refusal of a request with this Authorization header, or null when it may read logs. */
  refusal(authorization: string | undefined): Answer | null;
  /** Revokes the token in this Authorization header. */
  revoke(authorization: string | undefined): void;
}

/** Bound of what is remembered about tokens and assertions; the oldest goes first. */
const maxRemembered = 1_000;
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** Logins of one machine-to-machine application. */
export function createTenantAuth(options: TenantAuthOptions): TenantAuth {
  const tokens = new Map<string, number>();
  const checkAssertion = createAssertionCheck(options);

  const authenticate = (form: URLSearchParams): Answer | null => {
    const assertion = form.get("client_assertion");
    if (assertion !== null) {
      if (form.get("client_assertion_type") !== assertionType) {
        return oauthError(400, "invalid_request", "client_assertion_type is missing or not supported");
      }
      const problem = checkAssertion(assertion);
      return problem === null ? null : oauthError(401, "invalid_client", problem);
    }
    // auth0/node-auth0#682
    const known =
      form.get("client_id") === options.clientId && form.get("client_secret") === options.clientSecret;
    return known ? null : oauthError(401, "access_denied", "Unauthorized");
  };

  return {
    grant(form) {
      // A missing parameter: RFC 6749, section 5.2. A grant that is not allowed: auth0/auth0-java#165, auth0/ruby-auth0#190.
      const grantType = form.get("grant_type");
      if (grantType === null)
        return oauthError(400, "invalid_request", "Missing required parameter: grant_type");
      if (grantType !== "client_credentials") {
        return oauthError(
          403,
          "unauthorized_client",
          `Grant type '${grantType}' not allowed for the client.`,
        );
      }
      const refusal = authenticate(form) ?? refusedAudience(form.get("audience"), options.audience);
      if (refusal) return refusal;
      const token = randomBytes(24).toString("base64url");
      remember(tokens, token, options.now() + options.tokenLifetimeSeconds * 1000);
      // auth0.com/docs/get-started/authentication-and-authorization-flow/client-credentials-flow
      return json(
        200,
        {
          access_token: token,
          scope: options.scopes.join(" "),
          expires_in: options.tokenLifetimeSeconds,
          token_type: "Bearer",
        },
        { "cache-control": "no-store" },
      );
    },
    refusal(authorization) {
      if (authorization === undefined) return apiError(401, "Missing authentication");
      const token = bearer(authorization);
      // auth0/node-auth0#118
      if (token === null) return apiError(400, "Bad HTTP authentication header format");
      const expiresAtMs = tokens.get(token);
      if (expiresAtMs === undefined) return invalidToken("Invalid token");
      if (options.now() >= expiresAtMs)
        return invalidToken("Expired token received for JSON Web Token validation");
      // Either scope will do: auth0.com/docs/api/management/v2/logs/get-logs
      if (!options.scopes.includes("read:logs") && !options.scopes.includes("read:logs_users")) {
        const message = "Insufficient scope, expected any of: read:logs,read:logs_users";
        return apiError(403, message, { errorCode: "insufficient_scope" });
      }
      return null;
    },
    revoke(authorization) {
      const token = bearer(authorization ?? "");
      if (token !== null) tokens.delete(token);
    },
  };
}

/** auth0/auth0-authorization-extension#138 */
function invalidToken(message: string): Answer {
  return apiError(401, message, { attributes: { error: message } });
}

function bearer(authorization: string): string | null {
  return /^Bearer (\S+)$/i.exec(authorization)?.[1] ?? null;
}

/** Both refusals as quoted in support threads: postmanlabs/postman-app-support#2934, auth0/auth0-python#173. */
function refusedAudience(asked: string | null, audience: string): Answer | null {
  if (asked === audience) return null;
  return asked === null
    ? oauthError(403, "access_denied", "Non-global clients are not allowed access to APIv1")
    : oauthError(403, "access_denied", `Service not enabled within domain: ${asked}`);
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest);
}

/**
 * Says what is wrong with a client assertion, or null. Rules (claims, audience with its slash, five minutes at
 * most, one use, algorithms): auth0.com/docs/get-started/authentication-and-authorization-flow/authenticate-with-private-key-jwt
 */
function createAssertionCheck(options: TenantAuthOptions): (jwt: string) => string | null {
  const publicKey = options.clientPublicKey === undefined ? null : createPublicKey(options.clientPublicKey);
  const used = new Map<string, true>();
  return (jwt) => {
    if (publicKey === null) return "The client has no credential to verify an assertion with";
    const claims = readJwt(jwt, publicKey);
    if (claims === null) return "The assertion is not a JWT signed with the client's credential";
    const { iss, sub, aud, exp, iat, jti } = claims;
    const nowSeconds = options.now() / 1000;
    if (iss !== options.clientId || sub !== options.clientId) return "'iss' and 'sub' must be the client id";
    if (aud !== options.issuer) return `'aud' must be ${options.issuer}`;
    if (typeof exp !== "number" || exp <= nowSeconds) return "'exp' must be in the future";
    const issued = typeof iat === "number" ? iat : nowSeconds;
    if (issued > nowSeconds + 10) return "'iat' is in the future";
    if (exp - issued > 300)
      return "'exp' claim must specify a time that is no more than 5 minutes after 'iat'";
    if (typeof jti !== "string" || jti === "" || jti.length > 64) return "'jti' must have 1 to 64 characters";
    if (used.has(jti)) return "'jti' has been used before";
    remember(used, jti, true);
    return null;
  };
}

/** Hash and padding of the algorithms that Auth0 takes for client assertions. */
const algorithms: Readonly<Record<string, { readonly hash: string; readonly padding: number }>> = {
  RS256: { hash: "sha256", padding: constants.RSA_PKCS1_PADDING },
  RS384: { hash: "sha384", padding: constants.RSA_PKCS1_PADDING },
  PS256: { hash: "sha256", padding: constants.RSA_PKCS1_PSS_PADDING },
};

/** The claims of a JWT with a good signature, else null. */
function readJwt(jwt: string, key: KeyObject): Record<string, unknown> | null {
  const [header = "", payload = "", signature = ""] = jwt.split(".");
  const algorithm = algorithms[String(parsePart(header)?.alg)];
  if (!algorithm || key.asymmetricKeyType !== "rsa") return null;
  const signed = Buffer.from(`${header}.${payload}`);
  const good = verify(
    algorithm.hash,
    signed,
    { key, padding: algorithm.padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
    Buffer.from(signature, "base64url"),
  );
  return good ? parsePart(payload) : null;
}

function parsePart(part: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}
