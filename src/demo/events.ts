import { accountEvents } from "./event-account.ts";
import { loginEvents } from "./event-login.ts";
import { managementEvents } from "./event-management.ts";
import { applications, createPerson, createRandom, machines, type Random } from "./event-population.ts";
import type { EventKind } from "./event-scene.ts";

const kinds: Readonly<Record<string, EventKind>> = { ...loginEvents, ...managementEvents, ...accountEvents };

/** An event's `date` lies this much before the time in its `log_id`. */
export const minDateDelayMs = 1_300;
export const maxDateDelayMs = 5_000;

/**
 * A `log_id` as Auth0 makes them: `900`, the UTC time of logging to the millisecond, and a sequence that makes
 * it unique; 56 digits that sort as text (form: community.auth0.com/t/log-id-structure/113985, and the recorded
 * answers in auth0/go-auth0, TestLogManager_CheckpointPagination.yaml). Throws RangeError for a sequence below 1:
 * a suffix of zeros is what clients make up to say "from this time on".
 */
export function eventId(timeMs: number, sequence: number): string {
  if (!Number.isSafeInteger(sequence) || sequence < 1) {
    throw new RangeError(`sequence must be a whole number from 1 on, and is ${sequence}`);
  }
  return `${idTime(timeMs)}${String(sequence).padStart(36, "0")}`;
}

/** The part of a `log_id` that says when; every id of that time or later sorts after it. */
export function idTime(timeMs: number): string {
  return `900${new Date(timeMs).toISOString().replace(/\D/g, "")}`;
}

export interface EventGeneratorOptions {
  readonly seed: number;
  /** How many people the events are about. */
  readonly users?: number;
  /** Only these type codes; all that the generator knows by default. */
  readonly types?: readonly string[];
  /** What `tenant_name` says. */
  readonly tenant?: string;
}

/** Makes the event with the id `eventId(timeMs, sequence)`. */
export type EventGenerator = (timeMs: number, sequence: number) => Record<string, unknown>;

/**
 * Log events as `GET /api/v2/logs` answers them, of more than 40 types in the proportions of a real tenant. The
 * same options, time and sequence always give the same event. Shapes: the JSON Schemas of auth0/auth0-log-schemas
 * and recorded answers in auth0/go-auth0 and elastic/integrations. Throws RangeError for a type that it cannot make.
 */
export function createEventGenerator(options: EventGeneratorOptions): EventGenerator {
  const { seed, users = 200, types = Object.keys(kinds), tenant = "demo" } = options;
  const hostname = `${tenant}.eu.auth0.com`;
  const people = Array.from({ length: users }, (_, index) => createPerson(seed, index));
  const weights = types.map((type) => {
    const kind = kinds[type];
    if (!kind) throw new RangeError(`no events of type ${type} here; known: ${Object.keys(kinds).join(" ")}`);
    return { type, kind };
  });
  const first = people[0];
  if (!first || weights.length === 0) throw new RangeError("events need at least one user and one type");

  return (timeMs, sequence) => {
    // A stream of its own for every event: none depends on those made before it.
    const random = createRandom(seed ^ 0x5eed, sequence);
    const { type, kind } = pickByWeight(weights, random);
    const dateMs = timeMs - minDateDelayMs - random.below(maxDateDelayMs - minDateDelayMs + 1);
    const person = people[random.below(people.length)] ?? first;
    const body = kind.build({
      random,
      dateMs,
      tenant,
      hostname,
      person,
      application: random.pick(applications),
      machine: random.pick(machines),
    });
    const id = eventId(timeMs, sequence);
    return {
      date: new Date(dateMs).toISOString(),
      type,
      description: "",
      ...body,
      $event_schema: { version: "1.0.0" },
      log_id: id,
      tenant_name: tenant,
      _id: id,
      isMobile: body.isMobile ?? person.isMobile,
    };
  };
}

function pickByWeight<T extends { kind: EventKind }>(entries: readonly T[], random: Random): T {
  const total = entries.reduce((sum, entry) => sum + entry.kind.weight, 0);
  let left = random.below(total);
  const found = entries.find((entry) => {
    left -= entry.kind.weight;
    return left < 0;
  });
  if (!found) throw new RangeError("weights must be positive");
  return found;
}
