// Requests to the server that this page came from, and whether it is there.

const HERE = 2000; // milliseconds between two looks whether it is still there
const AWAY = 500; // and whether it is back

/** What the server says when it does not answer a request; status 429 and 503 pass. */
export class Refused extends Error {
  constructor(status, detail, seconds) {
    super(detail);
    Object.assign(this, { status, seconds });
  }
}

/** There was no answer. */
export class Gone extends Error {}

let token = null; // in memory only: a page that is loaded again asks again
let there = true;
let waiting = 0;
const listeners = [];

/** Call a listener with whether the server is there, whenever that has changed. */
export function watch(listener) {
  listeners.push(listener);
}

/** From now on requests carry this token. */
export function carry(given) {
  token = given;
}

/** The reply to a request; a body is sent as JSON. Throws Refused or Gone, and what `signal` makes of it. */
export async function ask(method, path, { body, signal, accept = "application/json", keepalive = false } = {}) {
  const headers = { accept };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token !== null) headers.authorization = `Bearer ${token}`;
  let reply;
  try {
    reply = await fetch(path, {
      method, headers, signal, keepalive, body: JSON.stringify(body), cache: "no-store", credentials: "omit", redirect: "error",
    });
  } catch (problem) {
    if (signal?.aborted) throw problem;
    found(false);
    throw new Gone("the server does not answer");
  }
  found(true);
  if (reply.ok) return reply;
  const problem = await whole(reply).catch(() => ({}));
  throw new Refused(reply.status, problem.detail ?? `the server answered ${reply.status}`, Number(reply.headers.get("retry-after")));
}

/** The JSON of a reply. Throws Gone where it breaks off. */
export async function whole(reply, signal) {
  try {
    return await reply.json();
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw new Gone("the server broke off");
  }
}

/** Look from now on whether the server is there. */
export function start() {
  clearTimeout(waiting);
  waiting = setTimeout(look, there ? HERE : AWAY);
}

async function look() {
  if (!document.hidden) await ask("GET", "healthz").catch(() => null);
  start();
}

function found(now) {
  if (now === there) return;
  there = now;
  start(); // at the other pace
  for (const listener of listeners) listener(there);
}
