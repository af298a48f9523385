import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** The command line as it is published, and as it runs in development. */
const published = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const source = fileURLToPath(new URL("../../src/cli.ts", import.meta.url));

/** The published command where it is built, the source otherwise. */
export const command = existsSync(published) ? published : source;
export const commands = existsSync(published) ? [published, source] : [source];

/** The path as it is written in the project. */
export function nameOf(path: string): string {
  return path.slice(fileURLToPath(new URL("../../", import.meta.url)).length);
}

/** Writes the process's peak memory to descriptor 3 when it ends, in KiB. */
const probe = `data:text/javascript,import{writeFileSync}from"node:fs";process.on("exit",()=>writeFileSync(3,String(process.resourceUsage().maxRSS)))`;

export interface Finished {
  /** From the start of the process to its end. */
  readonly elapsedMs: number;
  readonly peakRssMb: number;
}

/** Runs Node to its end. Throws unless it ends with 0. */
export async function runNode(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  measureMemory = false,
): Promise<Finished> {
  const startedAtMs = performance.now();
  const child = spawn(process.execPath, [...(measureMemory ? ["--import", probe] : []), ...args], {
    env,
    stdio: ["ignore", "ignore", "inherit", "pipe"],
  });
  const [output, [code]] = await Promise.all([
    text(child.stdio[3] as NodeJS.ReadableStream),
    once(child, "exit"),
  ]);
  if (code !== 0) throw new Error(`node ${args.join(" ")} ended with ${code}`);
  return { elapsedMs: performance.now() - startedAtMs, peakRssMb: Number(output) / 1_024 };
}
