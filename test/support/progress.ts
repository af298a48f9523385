import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { watch } from "node:fs";
import type { IncomingMessage } from "node:http";
import type { Rig } from "./exporter.ts";

/** What can be seen from outside of an exporter's progress. */
export const sightings = ["a request arrives", "an answer leaves", "the state folder is written to"] as const;
type Sighting = (typeof sightings)[number];

/** Node's own, for every server of the process: https://nodejs.org/api/diagnostics_channel.html#http */
const channels: Partial<Record<Sighting, string>> = {
  "a request arrives": "http.server.request.start",
  "an answer leaves": "http.server.response.finish",
};

/**
 * Calls `act` at each sighting, with the request if it is about one, before anything else happens in this
 * process; returns how to end looking. The state folder must be there.
 */
export function onSighting(
  sighting: Sighting,
  { tenant, cloudwatch, checkpointDir }: Rig,
  act: (request?: IncomingMessage) => void,
): () => void {
  const channel = channels[sighting];
  if (channel === undefined) {
    const watcher = watch(checkpointDir, () => act());
    return () => watcher.close();
  }
  const hosts = [tenant.domain, new URL(cloudwatch.url).host];
  const listener = (message: unknown) => {
    const { request } = message as { readonly request: IncomingMessage };
    if (hosts.includes(request.headers.host ?? "")) act(request);
  };
  subscribe(channel, listener);
  return () => unsubscribe(channel, listener);
}
