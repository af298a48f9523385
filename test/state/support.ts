import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/lib/clock.ts";
import { openStore } from "../../src/state/sqlite.ts";

/** A folder that is gone after the test. */
export async function temporaryFolder() {
  const dir = await mkdtemp(join(tmpdir(), "state-"));
  return {
    dir,
    /** A folder that does not exist yet. */
    state: join(dir, "checkpoints"),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

export function open(dir: string, mode: "own" | "read" = "own") {
  return openStore({ dir, mode, clock: systemClock });
}

interface Fact {
  readonly opened?: true;
  readonly failed?: true;
  readonly committed?: number;
  readonly refused?: number;
  readonly kind?: string;
  readonly message?: string;
  readonly cursor?: string;
  readonly letters?: number;
}

/** Starts `owner.ts`; killed after the test if it still runs. */
export function startOwner(action: "hold" | "commit" | "fill", dir: string, fileLimitKiB?: number) {
  const command = [process.execPath, fileURLToPath(new URL("./owner.ts", import.meta.url)), action, dir];
  const child =
    fileLimitKiB === undefined
      ? spawn(command[0] ?? "", command.slice(1), { stdio: ["pipe", "pipe", "inherit"] })
      : spawn("bash", ["-c", `ulimit -f ${fileLimitKiB}; exec "$@"`, "bash", ...command], {
          stdio: ["pipe", "pipe", "inherit"],
        });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    /** The next fact that it tells; undefined once it has ended. */
    async next(): Promise<Fact | undefined> {
      const line = await lines.next();
      return line.done ? undefined : (JSON.parse(line.value) as Fact);
    },
    signal: (name: NodeJS.Signals) => child.kill(name),
    end: () => child.stdin.end(),
    ended: () => ended(child),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended(child);
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
