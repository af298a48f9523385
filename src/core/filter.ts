import type { LogEvent } from "./types.ts";

export interface FilterOptions {
  /** The least level that passes; every level passes when undefined. */
  readonly minLevel?: number | undefined;
  /** The type codes that pass, compared exactly; every type passes when undefined. */
  readonly types?: ReadonlySet<string> | undefined;
  /** The level of a type code; undefined when the catalogue does not know the code. */
  levelOf(code: string): number | undefined;
}

/**
 * Tells whether an event is to be exported: it must pass both the level and the types where both are given.
 * A type without a known level passes every level, so that a code newer than the catalogue is never dropped
 * for being new.
 */
export function createFilter({ minLevel, types, levelOf }: FilterOptions): (event: LogEvent) => boolean {
  return ({ type }) => {
    if (types !== undefined && !types.has(type)) return false;
    if (minLevel === undefined) return true;
    const level = levelOf(type);
    return level === undefined || level >= minLevel;
  };
}
