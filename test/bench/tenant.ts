/** A child process: a tenant with a backlog. Ends with its parent. */
import { startTenant } from "../../src/demo/tenant.ts";

export interface TenantOptions {
  /** Events in its log. */
  readonly events: number;
  readonly pageLatencyMs: number;
}

export interface TenantAddress {
  readonly domain: string;
  readonly certificate: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

const dayMs = 86_400_000;
/** Keeps a page within the 24 hours of one call, and a million events within the 14 days that CloudWatch takes. */
const stepMs = 500;

const { events: count, pageLatencyMs }: TenantOptions = JSON.parse(process.argv[2] ?? "{}");
const backlog = { count, fromMs: Date.now() - dayMs - count * stepMs, stepMs };
const { domain, certificate, clientId, clientSecret } = await startTenant({ pageLatencyMs, backlog });
process.on("disconnect", () => process.exit(0));
process.send?.({ domain, certificate, clientId, clientSecret } satisfies TenantAddress);
