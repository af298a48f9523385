import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { describe, it } from "node:test";
import { startDeadline } from "../../src/lib/deadline.ts";

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("a deadline", () => {
  it("aborts with a TimeoutError when the time is over", async () => {
    const deadline = startDeadline(new AbortController().signal, 5);
    await once(deadline.signal, "abort");
    assert.equal(deadline.signal.reason.name, "TimeoutError");
    deadline.end();
  });

  it("aborts with the reason of the signal that it was made of, also when that is long past", () => {
    const outer = new AbortController();
    const before = startDeadline(outer.signal, 60_000);
    outer.abort("the reason");
    const after = startDeadline(outer.signal, 60_000);
    for (const { signal, end } of [before, after]) {
      assert.equal(signal.reason, "the reason");
      end();
    }
  });

  it("leaves no timer and no listener behind, and aborts no more", () => {
    const outer = new AbortController();
    const timersBefore = timers();
    const deadline = startDeadline(outer.signal, 60_000);
    assert.equal(timers(), timersBefore + 1);
    deadline.end();
    assert.equal(timers(), timersBefore);
    assert.equal(getEventListeners(outer.signal, "abort").length, 0);
    outer.abort();
    assert.equal(deadline.signal.aborted, false);
  });
});
