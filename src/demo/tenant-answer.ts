/** What the server is about to say. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  // Content type of the recorded answers in auth0/go-auth0.
  const type = { "content-type": "application/json; charset=utf-8" };
  return { status, headers: { ...type, ...headers }, body: JSON.stringify(value) };
}

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  429: "Too Many Requests",
  500: "Internal Server Error",
};

/** An error in the form of the Management API (seen in auth0/node-auth0's tests and issues). */
export function apiError(
  status: number,
  message: string,
  more: { readonly errorCode?: string; readonly attributes?: unknown } = {},
): Answer {
  return json(status, { statusCode: status, error: reasons[status], message, ...more });
}

/** An error in the form of the Authentication API (RFC 6749, section 5.2). */
export function oauthError(status: number, error: string, description: string): Answer {
  return json(status, { error, error_description: description });
}
