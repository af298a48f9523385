import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Where the young generation stops growing. A run holds a few megabytes at a time, and V8 would go on to 128 MB. */
const maxYoungBytes = 16 * 1024 * 1024;

/**
 * Keeps V8 from piling up garbage until a process that needs 130 MB takes 400: the rest of the heap is cleaned when
 * it has grown by half, and the code of WebAssembly, which is undici's HTTP parser, is compiled simply.
 * V8 reads the first two flags whenever it is about to grow the heap, so this has to be called again and again (4 µs);
 * the third must be there before the first request. Each of them is a hint, with no effect on what the program does.
 */
export function limitHeap(): void {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  const mayGrow = (young?.space_size ?? 0) < maxYoungBytes;
  setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  setFlagsFromString("--heap-growing-percent=50");
  setFlagsFromString("--liftoff-only");
}
