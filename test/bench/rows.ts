import { command, commands, nameOf, runNode } from "./command.ts";
import { openLab } from "./lab.ts";
import type { Measured } from "./stopwatch.ts";

/** A line of the table. */
export interface Line {
  readonly what: string;
  readonly measured: string;
  /** Against what the same machine does otherwise. */
  readonly ratio: string;
  readonly target: string;
  readonly ok: boolean;
}

/** What a row measures, and with how many events unless told. */
export interface Row {
  readonly events: number;
  run(events: number): Promise<Line[]>;
}

const rounds = 2;
const startUps = 7;

export const rows: Readonly<Record<string, Row>> = {
  a: { events: 20_000, run: (events) => paced(events, 30, 0.95) },
  b: { events: 20_000, run: (events) => paced(events, 250, 0.9) },
  c: { events: 150_000, run: unpaced },
  d: { events: 1_000_000, run: backlog },
  e: { events: 0, run: startUp },
};

/** How near to the fastest possible reader, which asks for a page as soon as it has the one before. */
async function paced(events: number, sendLatencyMs: number, leastShare: number): Promise<Line[]> {
  const pageLatencyMs = 50;
  await using lab = await openLab({ events, pageLatencyMs, sendLatencyMs });
  const ceiling = perSecond(await lab.measure("reader"));
  const exported = perSecond(await lab.measure("exporter"));
  return [
    {
      what: `page ${pageLatencyMs} ms, send ${sendLatencyMs} ms`,
      measured: `${whole(exported)} events/s`,
      ratio: `${percent(exported / ceiling)} of the ceiling, ${whole(ceiling)}`,
      target: `≥ ${percent(leastShare)}`,
      ok: exported >= leastShare * ceiling,
    },
  ];
}

/** How much work an event is, beside a naive loop with the same SDKs. Of the rounds, the best counts: the others were disturbed. */
async function unpaced(events: number): Promise<Line[]> {
  await using lab = await openLab({ events });
  const exported: Measured[] = [];
  const naive: Measured[] = [];
  for (let round = 0; round < rounds; round++) {
    naive.push(await lab.measure("naive"));
    exported.push(await lab.measure("exporter"));
  }
  const [speed, naiveSpeed] = [exported, naive].map((all) => Math.max(...all.map(perSecond))) as [
    number,
    number,
  ];
  const [cpu, naiveCpu] = [exported, naive].map((all) => Math.min(...all.map(cpuPerEvent))) as [
    number,
    number,
  ];
  return [
    {
      what: "no latency, speed",
      measured: `${whole(speed)} events/s`,
      ratio: `${times(speed / naiveSpeed)} a naive loop, ${whole(naiveSpeed)}`,
      target: "≥ 18,000",
      ok: speed >= 18_000,
    },
    {
      what: "no latency, CPU",
      measured: `${cpu.toFixed(1)} µs/event`,
      ratio: `${times(cpu / naiveCpu)} a naive loop, ${naiveCpu.toFixed(1)}`,
      target: "≤ 55",
      ok: cpu <= 55,
    },
  ];
}

/** Peak memory of the command, for a backlog and for a tenth of it. */
async function backlog(events: number): Promise<Line[]> {
  const tenth = Math.round(events / 10);
  const small = await peakRssMb(tenth);
  const large = await peakRssMb(events);
  return [
    {
      what: `backlog of ${whole(events)}, ${nameOf(command)}`,
      measured: `${whole(large)} MB`,
      ratio: `${times(large / small)} with ${whole(tenth)}, ${whole(small)} MB`,
      target: "≤ 180 MB, ≤ 1.1 ×",
      ok: large <= 180 && large <= 1.1 * small,
    },
  ];
}

async function peakRssMb(events: number): Promise<number> {
  await using lab = await openLab({ events });
  const env = await lab.settings();
  return (await lab.expectAll(() => runNode([command, "run"], env, true))).peakRssMb;
}

/** From the start of the process to its end, with nothing to export. */
async function startUp(): Promise<Line[]> {
  await using lab = await openLab({ events: 0 });
  const bare = await medianMs(async () => runNode(["-e", "0"], await lab.settings()));
  const lines: Line[] = [];
  for (const path of commands) {
    const elapsedMs = await medianMs(async () => runNode([path, "run"], await lab.settings()));
    lines.push({
      what: `run on an empty tenant, ${nameOf(path)}`,
      measured: `${whole(elapsedMs)} ms`,
      ratio: `${times(elapsedMs / bare)} node -e 0, ${whole(bare)} ms`,
      target: "≤ 600 ms",
      ok: elapsedMs <= 600,
    });
  }
  return lines;
}

async function medianMs(work: () => Promise<{ readonly elapsedMs: number }>): Promise<number> {
  const elapsed: number[] = [];
  for (let round = 0; round < startUps; round++) elapsed.push((await work()).elapsedMs);
  return elapsed.sort((a, b) => a - b)[startUps >> 1] ?? Number.NaN;
}

const perSecond = ({ events, elapsedMs }: Measured) => (events * 1_000) / elapsedMs;
const cpuPerEvent = ({ events, cpuMs }: Measured) => (cpuMs * 1_000) / events;

const whole = (value: number) => Math.round(value).toLocaleString("en");
const times = (value: number) => `${value.toFixed(2)} ×`;
const percent = (share: number) => `${(share * 100).toFixed(share < 1 ? 1 : 0).replace(/\.0$/, "")} %`;
