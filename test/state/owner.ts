/**
 * A process that owns a state folder, for tests that stop or kill one: `owner.ts hold|commit|fill DIR`.
 * It writes one line per fact, at once, and ends when its input does.
 */
import { writeSync } from "node:fs";
import { asExportError } from "../../src/core/errors.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { openStore } from "../../src/state/sqlite.ts";
import type { Store } from "../../src/state/store.ts";
import { letter, progress } from "../contract/store.ts";

const [action = "", dir = ""] = process.argv.slice(2);

function say(fact: Record<string, unknown>): void {
  writeSync(1, `${JSON.stringify(fact)}\n`);
}

/** Counts up as the cursor; every third commit has a dead letter of the same number. */
async function commitWithoutEnd(store: Store): Promise<void> {
  const { epoch, cursor } = await store.claim("p");
  for (let n = Number(cursor ?? 0) + 1; ; n++) {
    const deadLetters = n % 3 === 0 ? [letter(String(n))] : [];
    await store.commit("p", epoch, progress(String(n), { deadLetters }));
    say({ committed: n });
  }
}

/** Stores ever larger dead letters until the kernel refuses, then a commit that needs no room. */
async function fillTheDisk(store: Store): Promise<void> {
  const { epoch } = await store.claim("p");
  for (let n = 1; ; n++) {
    try {
      const deadLetters = [letter(String(n), "secret-content".repeat(2 ** n))];
      await store.commit("p", epoch, progress(String(n), { deadLetters }));
      say({ committed: n });
    } catch (error) {
      const { kind, message } = asExportError(error);
      say({ refused: n, kind, message });
      break;
    }
  }
  say({ cursor: (await store.checkpoint("p"))?.cursor, letters: await store.countDeadLetters("p") });
  await store.commit("p", epoch, progress("after"));
  say({ cursor: (await store.checkpoint("p"))?.cursor });
}

try {
  const store = await openStore({ dir, mode: "own", clock: systemClock });
  say({ opened: true });
  if (action === "commit") await commitWithoutEnd(store);
  if (action === "fill") await fillTheDisk(store);
  for await (const _ of process.stdin);
  await store.close();
} catch (error) {
  const { kind, message } = asExportError(error);
  say({ failed: true, kind, message });
  process.exitCode = 1;
}
