import { type Answer, apiError, json } from "./tenant-answer.ts";
import type { Entry, TenantLog } from "./tenant-log.ts";

/** Most events of one answer, and how many there are when the request does not say. */
const maxPage = 100;
const defaultPage = 50;
/** A search reaches no further: auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api */
const maxSearchResults = 1_000;

/** `GET /api/v2/logs/{id}`: the event, or 404, whose exact words are not documented. */
export function readEvent(log: TenantLog, id: string): Answer {
  const found = log.find(id);
  if (!found) return apiError(404, "The log event does not exist.", { errorCode: "inexistent_log" });
  return { ...json(200, null), body: found.bytes };
}

/**
 * `GET /api/v2/logs`. With `from` it reads on from a checkpoint, and without it searches; rules:
 * auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api and
 * auth0.com/docs/api/management/v2/logs/get-logs. `descending` answers a checkpoint page in the wrong order.
 */
export function listEvents(
  log: TenantLog,
  query: URLSearchParams,
  origin: string,
  descending: boolean,
): Answer {
  return query.has("from") ? readCheckpoint(log, query, origin, descending) : search(log, query);
}

/** Every parameter but `from` and `take` is ignored (auth0/node-auth0#956). */
function readCheckpoint(log: TenantLog, query: URLSearchParams, origin: string, descending: boolean): Answer {
  const from = query.get("from") ?? "";
  // What Auth0 says to a malformed `from` is not documented; this catches a client that sends "undefined".
  if (!/^\d+$/.test(from)) return invalid("String does not match pattern on property from (checkpoint)");
  const take = wholeNumber(query.get("take"), defaultPage);
  if (take === null || take < 1 || take > maxPage) {
    return invalid(`Number must be from 1 to ${maxPage} on property take`);
  }
  // Exclusive and ascending by id, not by date: recorded in auth0/go-auth0, TestLogManager_CheckpointPagination.yaml.
  const page = log.after(from, take);
  // An empty page links to itself.
  const next = `${origin}/api/v2/logs?from=${page.at(-1)?.id ?? from}&take=${take}`;
  return {
    ...json(200, null, { link: `<${next}>; rel="next"` }),
    body: arrayOf(descending ? page.toReversed() : page),
  };
}

const searchParameters = "page per_page sort include_totals fields include_fields q take".split(" ");

function search(log: TenantLog, query: URLSearchParams): Answer {
  for (const name of query.keys()) {
    // The same check answers so in auth0/auth0.net#157.
    if (!searchParameters.includes(name)) return invalid("Additional properties not allowed");
    if (["fields", "include_fields", "q"].includes(name)) {
      return apiError(400, `${name} is not part of this stand-in; it searches the whole log only`);
    }
  }
  const page = wholeNumber(query.get("page"), 0);
  const perPage = wholeNumber(query.get("per_page"), defaultPage);
  const sort = query.get("sort") ?? "date:-1";
  if (page === null) return invalid("Number must be 0 or more on property page");
  if (perPage === null || perPage < 1 || perPage > maxPage) {
    return invalid(`Number must be from 1 to ${maxPage} on property per_page`);
  }
  if (sort !== "date:-1" && sort !== "date:1")
    return invalid("String does not match pattern on property sort");
  if ((page + 1) * perPage > maxSearchResults) {
    // tfadeyi/auth0-simple-exporter#69
    const message = `Requesting page ${page} exceeds the allowed maximum of ${maxSearchResults} records. Please narrow your search.`;
    return apiError(400, message, { errorCode: "invalid_paging" });
  }
  const start = page * perPage;
  const found = log.search(sort === "date:1" ? "ascending" : "descending", start, perPage);
  const logs = arrayOf(found.page);
  if (query.get("include_totals") !== "true") return { ...json(200, null), body: logs };
  const totals = `{"start":${start},"limit":${perPage},"length":${found.page.length},"total":${found.total},"logs":`;
  return { ...json(200, null), body: Buffer.concat([Buffer.from(totals), logs, Buffer.from("}")]) };
}

const comma = Buffer.from(",");

function arrayOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry, index) => (index === 0 ? [entry.bytes] : [comma, entry.bytes]));
  return Buffer.concat([Buffer.from("["), ...parts, Buffer.from("]")]);
}

/** The number that the text says, the default for no text, or null for anything but a whole number. */
function wholeNumber(text: string | null, byDefault: number): number | null {
  if (text === null) return byDefault;
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function invalid(problem: string): Answer {
  return apiError(400, `Query validation error: '${problem}'`, { errorCode: "invalid_query_string" });
}
