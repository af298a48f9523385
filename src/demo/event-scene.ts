import { type Client, hex, type Person, type Random } from "./event-population.ts";

/** What one event is made from. */
export interface Scene {
  readonly random: Random;
  /** The event's own `date`, in epoch ms. */
  readonly dateMs: number;
  readonly tenant: string;
  readonly hostname: string;
  readonly person: Person;
  readonly application: Client;
  readonly machine: Client;
}

/** How often a type of event occurs among all others, and what it says beyond the fields that all share. */
export interface EventKind {
  readonly weight: number;
  build(scene: Scene): Record<string, unknown>;
}

/** Fields of everything that a person does in a browser. */
export function visit(scene: Scene): Record<string, unknown> {
  const { person, application, random } = scene;
  return {
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
    ...(person.organization && {
      organization_id: person.organization.id,
      organization_name: person.organization.name,
    }),
    security_context: fingerprint(random),
    ...(random.chance(0.5) && { location_info: person.place.location }),
  };
}

/** How the browser's TLS handshake looks. */
function fingerprint(random: Random): Record<string, string> {
  const ja3 = random.text(hex, 32);
  if (random.chance(0.5)) return { ja3 };
  return { ja3, ja4: `t13d${1000 + random.below(900)}h2_${random.text(hex, 12)}_${random.text(hex, 12)}` };
}
