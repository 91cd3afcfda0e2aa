// A session on the server that follows a text while it is typed: what is new is pushed, once, and the word that is not
// yet complete only peeked at.

import { ask, Refused, whole } from "elman/server";

const MARGIN = 2; // seconds before the server closes a session that is not used
const PIECE = 600; // characters of a push

export class Following {
  /** lines: whether the end of a line is the end of a text. */
  constructor(path, lines) {
    Object.assign(this, { path, lines, session: null, given: "", answers: [], until: 0 });
    this.turn = Promise.resolve();
  }

  /** What the session answers to a text: a list for what is certain, and what it would answer if the text ended here.
      current(): whether anyone still waits for it; if not, null. */
  answer(text, current) {
    const mine = this.turn.then(() => (current() ? this.#follow(text, current) : null));
    this.turn = mine.catch(() => null);
    return mine;
  }

  /** The session is not there any more. */
  forget() {
    this.session = null;
  }

  /** End the session; the page may be closing. */
  close() {
    const { session } = this;
    this.forget();
    if (session) ask("DELETE", `${this.path}/sessions/${session}`, { keepalive: true }).catch(() => null);
  }

  async #follow(text, current) {
    try {
      return await this.#read(text, current);
    } catch (problem) {
      const closed = this.session && problem instanceof Refused && problem.status === 404; // or the server is a new one
      if (closed || !(problem instanceof Refused)) this.forget();
      else this.close(); // who knows what it has read
      if (!closed) throw problem;
      return this.#read(text, current);
    }
  }

  async #read(text, current) {
    if (!this.session || !text.startsWith(this.given) || performance.now() > this.until) await this.#open();
    const complete = this.#complete(text);
    for (const piece of this.#pieces(text.slice(this.given.length, complete))) {
      if (!current()) return null;
      const finish = piece.endsWith("\n");
      this.answers.push(await this.#push({ text: finish ? piece.slice(0, -1) : piece, finish }));
      this.given += piece;
    }
    const rest = text.slice(complete);
    const last = await this.#push({ text: rest, finish: !this.lines, peek: true });
    return { certain: this.answers, last };
  }

  async #open() {
    this.close();
    const opened = await whole(await ask("POST", `${this.path}/sessions`));
    Object.assign(this, { session: opened.session, idle: opened.idle_seconds, given: "", answers: [] });
  }

  async #push(body) {
    this.until = performance.now() + 1000 * (this.idle - MARGIN);
    return whole(await ask("POST", `${this.path}/sessions/${this.session}/push`, { body }));
  }

  /** How much of a text cannot become part of another token: up to a word's end, where white space begins. */
  #complete(text) {
    const end = /^.*\S(?=\s)/s.exec(text)?.[0].length ?? 0;
    return this.lines ? Math.max(end, text.lastIndexOf("\n") + 1) : end;
  }

  /** Its parts: words together, and if lines matter none goes beyond a line. */
  #pieces(text) {
    const parts = [];
    for (const [part] of text.matchAll(this.lines ? /\n|[^\S\n]*[^\s]+|[^\S\n]+/g : /\s*\S+/g)) {
      const last = parts.at(-1);
      const joins = last !== undefined && !last.endsWith("\n") && last.length + part.length <= PIECE;
      if (joins) parts[parts.length - 1] += part;
      else parts.push(part);
    }
    return parts;
  }
}
