// One model on the text: which it is, what it answers, what it writes on, and its inside.

import { inspected, of, show } from "elman/asking";
import { chip, element } from "elman/boxes";
import { ask, Gone, Refused } from "elman/server";

const PAUSE = 150; // milliseconds without typing before a request of its own
const QUIET = 700; // and before the answer is said
const BUSY = 1; // seconds, if the server does not say how long

export class Column {
  /** root: its section; box: where the text is typed. */
  constructor(root, box) {
    const find = (name) => root.querySelector(`[data-is=${name}]`);
    const names = ["model", "about", "refused", "writing", "searching", "answers", "written", "title", "bars", "said", "back"];
    this.parts = Object.fromEntries([...names, "write", "look", "looked", "inside", "frame"].map((name) => [name, find(name)]));
    Object.assign(this, { root, box, models: [], model: null, way: null, turn: 0, writing: null, looking: null, before: null, about: null });
    const { model, write, back, look, frame, searching } = this.parts;
    model.addEventListener("change", () => this.choose(model.value));
    write.addEventListener("click", () => (this.writing ? this.stop() : this.write()));
    back.addEventListener("click", () => this.takeBack());
    look.addEventListener("click", () => this.look());
    searching.addEventListener("input", () => this.refresh());
    frame.addEventListener("load", () => this.framed());
  }

  get shown() {
    return !this.root.hidden;
  }

  /** The models to choose from; the one that was chosen stays, if it is still there. first: otherwise. */
  offer(models, first) {
    const chosen = this.model?.name;
    this.models = models;
    this.parts.model.replaceChildren(...models.map(({ name }) => element("option", { value: name }, name)));
    const there = models.some(({ name }) => name === chosen);
    this.choose(there ? chosen : models[Math.min(first, models.length - 1)].name);
  }

  /** Another model, or the same in a server that is back. */
  choose(name) {
    this.stop();
    this.leave();
    this.way?.close();
    const same = this.model?.name === name;
    this.model = this.models.find((one) => one.name === name);
    this.way = of(this.model);
    const { model, about, writing, searching, look, looked, inside, frame } = this.parts;
    const { task, kind, operations } = this.model;
    model.value = name;
    about.textContent = `${TASKS[task] ?? task} (${kind}), ${this.way.follows ? "followed by a session" : "asked after a pause"}`;
    writing.hidden = !operations.includes("sample");
    searching.hidden = task !== "seq2seq";
    look.parentElement.hidden = !operations.includes("inspect");
    if (!same) {
      inside.hidden = true;
      frame.removeAttribute("srcdoc");
      this.about = null;
      delete this.root.dataset.text;
      show({}, this.parts);
    }
    this.refresh();
  }

  get options() {
    const value = (name) => this.root.querySelector(`[data-option=${name}]`).value;
    const number = (name) => Math.max(0, Number(value(name)) || 0);
    const whole = (name) => Math.floor(number(name));
    return {
      features: value("features"), beam: whole("beam"),
      temperature: number("temperature"), seed: whole("seed"), tokens: whole("tokens"),
    };
  }

  /** Ask about the text as it is now. What was asked before does not matter any more. */
  async refresh() {
    const turn = ++this.turn;
    this.asking?.abort();
    clearTimeout(this.saying);
    if (!this.shown || !this.way) return;
    this.date();
    const { signal } = (this.asking = new AbortController());
    const current = () => turn === this.turn;
    if (!this.way.follows) await pause(PAUSE);
    if (!current()) return;
    const text = this.box.value;
    try {
      const answer = await this.way.answer(text, { current, signal, options: this.options });
      if (!current() || answer === null) return;
      this.refuse("");
      show(answer, this.parts);
      this.root.dataset.text = text; // what is shown
      const { said } = this.parts;
      this.saying = setTimeout(() => (said.textContent = `${this.model.name}: ${answer.words ?? ""}`), QUIET);
    } catch (problem) {
      if (!current() || problem instanceof Gone || problem.name === "AbortError") return; // asked again when it is back
      if (!(problem instanceof Refused)) throw problem;
      this.refuse(problem.message);
      if (problem.status === 503) setTimeout(() => current() && this.refresh(), 1000 * (problem.seconds || BUSY));
    }
  }

  refuse(words) {
    this.parts.refused.textContent = words;
  }

  /** A language model writes on where the text ends. */
  async write() {
    const { signal } = (this.writing = new AbortController());
    this.before = this.box.value;
    const { temperature, seed, tokens } = this.options;
    this.parts.write.textContent = "Stop";
    this.box.readOnly = true;
    try {
      const body = { prompt: this.box.value, tokens, temperature, seed };
      const reply = await ask("POST", `v1/models/${this.model.name}/sample`, { body, signal, accept: "text/event-stream" });
      for await (const text of pieces(reply)) {
        if (signal.aborted) break;
        this.box.value += text;
        this.box.scrollTop = this.box.scrollHeight;
        this.box.dispatchEvent(new Event("input"));
      }
    } catch (problem) {
      if (problem instanceof Refused) this.refuse(problem.message);
    }
    if (this.writing?.signal === signal) this.stop();
  }

  stop() {
    if (!this.writing) return;
    this.writing.abort();
    this.writing = null;
    this.parts.write.textContent = "Write on";
    this.parts.back.disabled = false;
    this.box.readOnly = false;
    this.box.dispatchEvent(new Event("input"));
  }

  takeBack() {
    this.stop();
    this.box.value = this.before;
    this.parts.back.disabled = true;
    this.box.dispatchEvent(new Event("input"));
  }

  /** The report about this text, in a frame: its scripts run in it, allowed by the number that allows this one's. */
  async look() {
    const { looked, inside, frame } = this.parts;
    if (!this.shown || !this.model.operations.includes("inspect") || !this.box.value.trim()) return;
    this.leave();
    const { signal } = (this.looking = new AbortController());
    const text = inspected(this.model, this.box.value, this.options);
    looked.textContent = "looking …";
    try {
      const request = { body: { text }, signal, accept: "text/html" };
      const reply = await ask("POST", `v1/models/${this.model.name}/inspect`, request);
      const page = await reply.text();
      if (signal.aborted) return;
      const [, theirs] = /nonce-([0-9a-f]{64})/.exec(page);
      this.scrolled = frame.contentWindow?.scrollY ?? 0;
      this.about = JSON.stringify(text);
      frame.srcdoc = page.replaceAll(theirs, document.querySelector("script[nonce]").nonce);
      inside.hidden = false;
      this.leave();
    } catch (problem) {
      if (signal.aborted) return;
      this.leave();
      looked.textContent = problem instanceof Refused ? problem.message : "";
      if (!(problem instanceof Refused || problem instanceof Gone || problem instanceof TypeError)) throw problem;
    }
  }

  /** What is still being looked for is not wanted any more. */
  leave() {
    this.looking?.abort();
    this.looking = null;
    this.date();
  }

  /** Say so when the inside is that of an earlier text. */
  date() {
    if (this.looking) return;
    const earlier = this.about !== null && this.about !== JSON.stringify(inspected(this.model, this.box.value, this.options));
    this.parts.looked.textContent = earlier ? "below is an earlier text" : "";
  }

  /** The report is there: it looks as this page does, and its links lead to its own panels. */
  framed() {
    const inner = this.parts.frame.contentDocument;
    if (!inner?.getElementById("theme")) return;
    inner.getElementById("theme").hidden = true;
    this.theme();
    this.parts.frame.contentWindow.scrollTo({ top: this.scrolled, behavior: "instant" });
    inner.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#']");
      if (!link) return;
      event.preventDefault();
      inner.getElementById(link.getAttribute("href").slice(1))?.scrollIntoView();
    });
  }

  theme() {
    const inner = this.parts.frame.contentDocument?.documentElement;
    const { theme } = document.documentElement.dataset;
    if (inner && theme) inner.dataset.theme = theme;
  }
}

const TASKS = { tag: "tagger", classify: "classifier", lm: "language model", seq2seq: "encoder-decoder" };

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** The texts of server-sent events. */
async function* pieces(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) if (event.startsWith("data: ")) yield JSON.parse(event.slice(6)).text;
  }
}
