import { createEventGenerator, eventId, maxDateDelayMs, minDateDelayMs } from "./events.ts";

/** Events that are computed when asked for, so that any number of them costs no memory. */
export interface BacklogOptions {
  readonly count: number;
  /** Time in the first event's id, in epoch ms. */
  readonly fromMs: number;
  /** Time between two events. */
  readonly stepMs: number;
}

/** The tenant's log: exact JSON texts in the order of their ids. */
export interface TenantLog {
  readonly count: number;
  append(event: Readonly<Record<string, unknown>>): void;
  /** Keeps `text` as the event with this id, whatever it says. */
  appendRaw(text: string, id: string): void;
  ids(): string[];
  /** Up to `limit` events with ids after `from`, in the order of their ids. */
  after(from: string, limit: number): readonly Entry[];
  find(id: string): Entry | undefined;
  /** Events in the order of their dates, and how many there are in all. */
  search(order: "ascending" | "descending", offset: number, limit: number): { page: Entry[]; total: number };
}

export interface Entry {
  readonly id: string;
  /** The event's JSON text in UTF-8. */
  readonly bytes: Buffer;
}

/** A list in the order of ids. */
interface Series {
  readonly length: number;
  id(index: number): string;
  entry(index: number): Entry;
  dateMs(index: number): number;
}

export interface TenantLogOptions {
  readonly tenant: string;
  readonly backlog: BacklogOptions | undefined;
  /** Only ids after this one are served. */
  floor(): string;
}

export function createTenantLog(options: TenantLogOptions): TenantLog {
  const backlog = createComputedSeries(options.backlog ?? { count: 0, fromMs: 0, stepMs: 1 }, options.tenant);
  const appended = createAppendedSeries();

  return {
    get count() {
      return backlog.length + appended.length;
    },
    append(event) {
      const id = event.log_id;
      if (typeof id !== "string") throw new TypeError("an event needs a log_id to be appended");
      appended.insert(id, JSON.stringify(event));
    },
    appendRaw: (text, id) => appended.insert(id, text),
    ids: () =>
      merge(backlog, 0, appended, 0, backlog.length + appended.length, (series, index) => series.id(index)),
    after(from, limit) {
      const lowest = options.floor();
      const place = (series: Series) => Math.max(firstAfter(series, from), firstAfter(series, lowest));
      return merge(backlog, place(backlog), appended, place(appended), limit, entryOf);
    },
    find(id) {
      if (id <= options.floor()) return undefined;
      for (const series of [backlog, appended]) {
        const index = firstAfter(series, id) - 1;
        if (index >= 0 && series.id(index) === id) return series.entry(index);
      }
      return undefined;
    },
    search(order, offset, limit) {
      const lowest = options.floor();
      const step = options.backlog?.stepMs ?? 1;
      // Dates leave the order of ids only so far; beyond that, a computed event cannot be among the first.
      const reach = offset + limit + Math.ceil((maxDateDelayMs - minDateDelayMs) / step) + 1;
      const candidates = [
        ...ends(backlog, firstAfter(backlog, lowest), order, reach),
        ...ends(appended, firstAfter(appended, lowest), order, Number.POSITIVE_INFINITY),
      ];
      const sign = order === "ascending" ? 1 : -1;
      candidates.sort((a, b) => sign * (a.dateMs - b.dateMs || (a.id < b.id ? -1 : 1)));
      const total =
        backlog.length - firstAfter(backlog, lowest) + appended.length - firstAfter(appended, lowest);
      const page = candidates.slice(offset, offset + limit).map(({ series, index }) => series.entry(index));
      return { page, total };
    },
  };
}

const entryOf = (series: Series, index: number) => series.entry(index);

/** Index of the first id that sorts after `id`. */
function firstAfter(series: Series, id: string): number {
  let low = 0;
  let high = series.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (series.id(middle) > id) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first `limit` items of both lists from the given places on, in the order of their ids. */
function merge<T>(
  a: Series,
  fromA: number,
  b: Series,
  fromB: number,
  limit: number,
  item: (series: Series, index: number) => T,
): T[] {
  const merged: T[] = [];
  let indexA = fromA;
  let indexB = fromB;
  while (merged.length < limit && (indexA < a.length || indexB < b.length)) {
    const takeA = indexB >= b.length || (indexA < a.length && a.id(indexA) < b.id(indexB));
    merged.push(takeA ? item(a, indexA++) : item(b, indexB++));
  }
  return merged;
}

/** The first or last `reach` places of the list, counted from `start` on. */
function ends(series: Series, start: number, order: "ascending" | "descending", reach: number) {
  const from = order === "ascending" ? start : Math.max(start, series.length - reach);
  const to = order === "ascending" ? Math.min(series.length, start + reach) : series.length;
  return Array.from({ length: Math.max(0, to - from) }, (_, offset) => {
    const index = from + offset;
    return { series, index, id: series.id(index), dateMs: series.dateMs(index) };
  });
}

function createAppendedSeries(): Series & { insert(id: string, text: string): void } {
  const entries: (Entry & { readonly dateMs: number })[] = [];
  const at = (index: number) => {
    const found = entries[index];
    if (!found) throw new RangeError(`no event at ${index}`);
    return found;
  };
  const series: Series = {
    get length() {
      return entries.length;
    },
    id: (index) => at(index).id,
    entry: at,
    dateMs: (index) => at(index).dateMs,
  };
  return Object.assign(series, {
    insert(id: string, text: string) {
      const place = firstAfter(series, id);
      if (place > 0 && at(place - 1).id === id) throw new RangeError(`there is an event ${id} already`);
      entries.splice(place, 0, { id, bytes: Buffer.from(text), dateMs: dateOf(text) });
    },
  });
}

/** The event's date, or the beginning of time for a text that has none. */
function dateOf(text: string): number {
  const date = /"date":"([^"]*)"/.exec(text)?.[1];
  return Date.parse(date ?? "") || 0;
}

const templateCount = 1_000;

/** An event's bytes, with the places to write its date and its id into; both always have the same length. */
interface Template {
  readonly bytes: Buffer;
  readonly dateAt: number;
  readonly idsAt: readonly number[];
  readonly dateDelayMs: number;
}

function createComputedSeries({ count, fromMs, stepMs }: BacklogOptions, tenant: string): Series {
  const generate = createEventGenerator({ seed: 1, tenant });
  const templates = Array.from({ length: Math.min(count, templateCount) }, (_, index) =>
    createTemplate(generate(fromMs, index + 1), fromMs),
  );
  const timeMs = (index: number) => fromMs + index * stepMs;
  const templateOf = (index: number) => {
    const found = templates[index % templateCount];
    if (!found || index >= count) throw new RangeError(`no event at ${index}`);
    return found;
  };
  return {
    length: count,
    id: (index) => eventId(timeMs(index), index + 1),
    dateMs: (index) => timeMs(index) - templateOf(index).dateDelayMs,
    entry(index) {
      const template = templateOf(index);
      const id = eventId(timeMs(index), index + 1);
      const bytes = Buffer.from(template.bytes);
      bytes.write(new Date(timeMs(index) - template.dateDelayMs).toISOString(), template.dateAt, "latin1");
      for (const place of template.idsAt) bytes.write(id, place, "latin1");
      return { id, bytes };
    },
  };
}

function createTemplate(event: Readonly<Record<string, unknown>>, timeMs: number): Template {
  const bytes = Buffer.from(JSON.stringify(event));
  const date = String(event.date);
  const id = String(event.log_id);
  return {
    bytes,
    dateAt: bytes.indexOf(date),
    idsAt: [bytes.indexOf(id), bytes.lastIndexOf(id)],
    dateDelayMs: timeMs - Date.parse(date),
  };
}
