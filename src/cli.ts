#!/usr/bin/env node
/** Entry: says so in one sentence when Node is too old; everything newer than this file's syntax is loaded after that. */
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  process.stderr.write(`auth0-log-exporter needs Node 24 or newer; this is Node ${process.versions.node}.\n`);
  process.exit(2);
}
const { main } = await import("./cli/program.ts");
await main(process.argv);

export {};
