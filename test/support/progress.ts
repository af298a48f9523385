import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { watch } from "node:fs";

/** What can be seen from outside of an exporter's progress. */
export const sightings = ["a request arrives", "an answer leaves", "the state folder is written to"] as const;
export type Sighting = (typeof sightings)[number];

const channels: Partial<Record<Sighting, string>> = {
  "a request arrives": "http.server.request.start",
  "an answer leaves": "http.server.response.finish",
};

/**
 * Calls `act` at each sighting, before anything else happens in this process; returns how to end looking.
 * Requests and answers are those of all servers of this process.
 */
export function onSighting(sighting: Sighting, stateDir: string, act: () => void): () => void {
  const channel = channels[sighting];
  if (channel === undefined) {
    const watcher = watch(stateDir, () => act());
    return () => watcher.close();
  }
  const listener = () => act();
  subscribe(channel, listener);
  return () => unsubscribe(channel, listener);
}
