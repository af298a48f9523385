/** A child process: reads page after page and does nothing with them. Nobody can read faster, as each page's request needs the last ID of the page before. */
import { createStopwatch, finish } from "./stopwatch.ts";

const env = process.env;
const origin = `https://${env.AUTH0_DOMAIN}`;
const login = await fetch(`${origin}/oauth/token`, {
  method: "POST",
  body: new URLSearchParams({
    grant_type: "client_credentials",
    client_id: env.AUTH0_CLIENT_ID ?? "",
    client_secret: env.AUTH0_CLIENT_SECRET ?? "",
    audience: `${origin}/api/v2/`,
  }),
});
const { access_token: token } = (await login.json()) as { access_token: string };
const headers = { authorization: `Bearer ${token}` };

const stopwatch = createStopwatch();
let events = 0;
for (let from = "0"; ; ) {
  const response = await fetch(`${origin}/api/v2/logs?from=${from}&take=100`, { headers });
  const text = await response.text();
  stopwatch.firstPage();
  const last = /.*"log_id":"(\d+)"/s.exec(text)?.[1];
  if (last === undefined) break;
  events += 100;
  from = last;
}
finish(stopwatch.stop(events));
