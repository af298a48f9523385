import { ExportError, type ExportErrorKind } from "../../src/core/errors.ts";
import type { Pipeline } from "../../src/core/run.ts";
import type { Checkpoint, LogEvent, Page, Progress } from "../../src/core/types.ts";
import { virtualClock } from "./clock.ts";

/** What can happen at a step of the world; steps are counted over all fakes, in the order they are called. */
export type Fault =
  | { readonly kind: "none" }
  /** The process dies here: nothing of it goes on. */
  | { readonly kind: "crash" }
  | { readonly kind: "fail"; readonly error: ExportErrorKind }
  /** The service did it, and the answer was lost. */
  | { readonly kind: "fail-after"; readonly error: ExportErrorKind }
  /** Part of a request is accepted, part of it refused for good. */
  | { readonly kind: "partial"; readonly accept: number; readonly reject: number };

export function event(sequence: number, type = "s"): LogEvent {
  const id = `900${String(sequence).padStart(53, "0")}`;
  return {
    id,
    type,
    timeMs: sequence,
    raw: `{"log_id":"${id}","type":"${type}"}`,
    data: { log_id: id, type },
  };
}

interface WorldOptions {
  readonly events: readonly LogEvent[];
  readonly pageSize: number;
  readonly batchSize: number;
  readonly window: number;
  readonly faults: readonly Fault[];
  accepts?(event: LogEvent): boolean;
}

/**
 * A source, a destination and a store with faults at given steps, and a process that may die at any of them.
 * After a crash nothing of that process settles any more, as if its memory were gone.
 */
export function createWorld(options: WorldOptions) {
  const { events, pageSize, batchSize, window } = options;
  const accepts = options.accepts ?? (() => true);
  const clock = virtualClock();
  const accepted = new Map<string, number>();
  const deadLetters = new Set<string>();
  const skippedIds = new Set<string>();
  const commits: Progress[] = [];
  let checkpoint: Checkpoint = blankCheckpoint();
  let generation = 0;
  let step = 0;
  let sends = 0;
  let died = Promise.withResolvers<void>();

  /** Runs one step of a process: `effect` is what the service does with the part of it that succeeds. */
  async function at<T>(process: number, effect: (fault: Fault) => T): Promise<T> {
    const alive = () => process === generation;
    await new Promise((resolve) => setImmediate(resolve));
    if (!alive()) return new Promise<never>(() => {});
    const fault = options.faults[step++] ?? { kind: "none" };
    if (fault.kind === "fail") throw new ExportError(fault.error, `fault ${fault.error}`);
    const dies = fault.kind === "crash";
    // A process that dies may die before or after the service did its part; odd steps die after.
    if (dies && step % 2 === 0) return die();
    const result = effect(fault);
    if (dies) return die();
    if (fault.kind === "fail-after") throw new ExportError(fault.error, `fault after ${fault.error}`);
    return result;
  }

  function die(): Promise<never> {
    generation++;
    died.resolve();
    return new Promise<never>(() => {});
  }

  function isDone(item: LogEvent): boolean {
    return accepted.has(item.id) || deadLetters.has(item.id) || skippedIds.has(item.id) || !accepts(item);
  }

  function assertSafe(cursor: string): void {
    const start = commits.findLast(({ startFrom }) => startFrom !== undefined)?.cursor ?? "";
    const undone = events.find((item) => item.id > start && item.id <= cursor && !isDone(item));
    if (undone) throw new Error(`the cursor ${cursor} passed ${undone.id}, which is not done`);
    if (checkpoint.cursor !== null && cursor < checkpoint.cursor) throw new Error("the cursor went back");
  }

  function commit(next: Progress): void {
    for (const letter of next.deadLetters ?? []) deadLetters.add(letter.event.id);
    // A start setting moves the cursor to wherever a person wants it.
    if (next.startFrom === undefined) assertSafe(next.cursor);
    commits.push(next);
    checkpoint = { ...checkpoint, ...next, startFrom: next.startFrom ?? checkpoint.startFrom };
  }

  /** One process's view. */
  function pipeline(overrides: Partial<Pipeline> = {}): Pipeline {
    const process = generation;
    return {
      name: "test",
      clock,
      startFrom: null,
      batchSize,
      maxBatchesInFlight: window,
      giveUpAfterMs: 60_000,
      accepts,
      isKnownType: (code) => code !== "new",
      store: {
        claim: () => at(process, () => (checkpoint = { ...checkpoint, epoch: checkpoint.epoch + 1 })),
        commit: (_name, epoch, next) =>
          at(process, () => {
            if (epoch !== checkpoint.epoch) throw new ExportError("conflict", "fenced");
            commit(next);
          }),
      },
      source: {
        start: () => at(process, () => ({ cursor: "", eventTimeMs: null })),
        isAfter: (a, b) => a > b,
        async *read(after): AsyncGenerator<Page> {
          let cursor = after.cursor;
          for (;;) {
            const page = await at(process, () =>
              events.filter((item) => item.id > cursor).slice(0, pageSize),
            );
            if (page.length === 0) return;
            cursor = page.at(-1)?.id ?? cursor;
            yield { events: page, cursor };
          }
        },
      },
      destination: {
        check: async () => [],
        send: (batch) =>
          at(process, (fault) => {
            sends++;
            const take = fault.kind === "partial" ? Math.min(fault.accept, batch.length) : batch.length;
            for (const item of batch.slice(0, take)) accepted.set(item.id, (accepted.get(item.id) ?? 0) + 1);
            if (fault.kind !== "partial") return { rejected: [], unsent: [] };
            const refused = batch.slice(take, take + fault.reject);
            const skipped = batch.slice(take + fault.reject, take + fault.reject + 1);
            for (const item of skipped) skippedIds.add(item.id);
            return {
              rejected: refused.map((item) => ({ event: item, reason: "refused" })),
              skipped: skipped.map((item) => ({ event: item, reason: "no form" })),
              unsent: batch.slice(take + fault.reject + 1),
              cause: new ExportError("transient", "part was not accepted"),
            };
          }),
      },
      ...overrides,
    };
  }

  return {
    pipeline,
    clock,
    accepted,
    deadLetters,
    skippedIds,
    commits,
    isDone,
    checkpoint: () => checkpoint,
    sends: () => sends,
    steps: () => step,
    /** Resolves when the current process dies. */
    death: () => {
      died = Promise.withResolvers<void>();
      return died.promise;
    },
  };
}

function blankCheckpoint(): Checkpoint {
  return {
    pipeline: "test",
    cursor: null,
    eventTimeMs: null,
    drainedAtMs: null,
    epoch: 0,
    startFrom: null,
    updatedAtMs: 0,
  };
}
