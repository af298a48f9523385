import type { Cursor, LogEvent, Notice, Page } from "./types.ts";

/** Up to `batchSize` events that passed the filter, and what the stretch of log behind them held. */
export interface Batch {
  readonly events: readonly LogEvent[];
  /** Safe once these events are done. */
  readonly cursor: Cursor;
  /** Time of the last event covered by `cursor`, in epoch ms. */
  readonly eventTimeMs: number | null;
  /** Events that this stretch of the log held, and how many of them the filter left out. */
  readonly read: number;
  readonly filtered: number;
  readonly notices: readonly Notice[];
  /** Type codes of passed events that the catalogue does not know, with how many. */
  readonly unknownTypes: ReadonlyMap<string, number>;
}

export interface FillOptions {
  readonly batchSize: number;
  accepts(event: LogEvent): boolean;
  isKnownType(code: string): boolean;
  /** Called for each page. */
  onPage?(): void;
}

function emptyBatch() {
  return {
    events: [] as LogEvent[],
    cursor: "",
    eventTimeMs: null as number | null,
    read: 0,
    filtered: 0,
    notices: [] as Notice[],
    unknownTypes: new Map<string, number>(),
  };
}

/**
 * Pages in, batches out: every batch holds exactly `batchSize` events but the last. A stretch that the filter
 * emptied becomes a batch without events, so that the checkpoint moves over it. When the pages fail, what was
 * read before comes out first.
 */
export async function* fillBatches(pages: AsyncIterable<Page>, options: FillOptions): AsyncGenerator<Batch> {
  let open = emptyBatch();
  let failure: { readonly thrown: unknown } | null = null;
  try {
    for await (const page of pages) {
      options.onPage?.();
      open.notices.push(...(page.notices ?? []));
      for (const event of page.events) {
        open.read++;
        open.cursor = event.id;
        open.eventTimeMs = event.timeMs;
        if (!options.accepts(event)) {
          open.filtered++;
          continue;
        }
        if (!options.isKnownType(event.type)) {
          open.unknownTypes.set(event.type, (open.unknownTypes.get(event.type) ?? 0) + 1);
        }
        open.events.push(event);
        if (open.events.length === options.batchSize) {
          yield open;
          open = emptyBatch();
        }
      }
      // Events wait here for their batch to fill; with none waiting, the cursor may move over the page.
      if (open.events.length === 0 && (open.read > 0 || open.notices.length > 0)) {
        yield { ...open, cursor: page.cursor };
        open = emptyBatch();
      }
    }
  } catch (thrown) {
    failure = { thrown };
  }
  if (open.events.length > 0) yield open;
  if (failure) throw failure.thrown;
}

export interface ReadAheadLimits {
  readonly maxReady: number;
  /** Bound on the events' text that waits, in UTF-16 units; one batch may pass it. */
  readonly maxReadyLength: number;
}

export interface ReadAhead {
  /** Every batch that is ready, at most `max`; waits for one; empty at the end. What was read before a failure comes first. */
  take(max: number): Promise<Batch[]>;
  /** Ends reading. Batches not taken cost nothing to drop: they are read again from the checkpoint. */
  close(): void;
}

/** Reads batches while earlier ones are being sent, never holding more than the limits. */
export function readAhead(batches: AsyncIterable<Batch>, limits: ReadAheadLimits): ReadAhead {
  const ready: { readonly batch: Batch; readonly length: number }[] = [];
  let readyLength = 0;
  let closed = false;
  let end: { readonly failure?: unknown } | null = null;
  let changed = Promise.withResolvers<void>();
  const announce = () => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const isFull = () => ready.length >= limits.maxReady || readyLength >= limits.maxReadyLength;

  const pump = async () => {
    try {
      for await (const batch of batches) {
        const length = batch.events.reduce((sum, event) => sum + event.raw.length, 0);
        ready.push({ batch, length });
        readyLength += length;
        announce();
        while (isFull() && !closed) await changed.promise;
        if (closed) break;
      }
      end = {};
    } catch (failure) {
      end = { failure };
    }
    announce();
  };
  void pump();

  return {
    async take(max) {
      while (ready.length === 0 && !closed) {
        if (end && "failure" in end) throw end.failure;
        if (end) return [];
        await changed.promise;
      }
      if (closed) return [];
      const taken = ready.splice(0, max);
      for (const { length } of taken) readyLength -= length;
      announce();
      await nextRequestSent();
      return taken.map(({ batch }) => batch);
    },
    close() {
      closed = true;
      announce();
    },
  };
}

/**
 * Lets the reader ask for the next page first: encoding a batch keeps the event loop busy for longer than that.
 * Undici writes a request two turns of the loop after the answer before it, at the latest.
 */
async function nextRequestSent(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
