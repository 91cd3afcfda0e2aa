// A model: a plan that answers texts. Everything here is a function of its arguments, but what is remembered for speed.

import { affine, affineRows, Inputs, logSoftmax, partOf, placesOf, pool, Record, runAll } from "elman/network";
import { bestPath, marginals } from "elman/paths";
import { generator } from "elman/random";
import { Rewriter } from "elman/rewriting";
import { ngrams, Text } from "elman/text";

/** The model of a plan; letters: what the plan's text needs to know about characters. */
export function modelOf(plan, letters) {
  if (plan.is === "Rewriting") return new Rewriter(plan, letters);
  const text = new Text(plan.text, letters);
  return new KINDS[plan.answer.is](plan, text);
}

class Network {
  constructor(plan, text) {
    Object.assign(this, { plan, text, task: plan.task, labels: plan.answer.labels });
    this.inputs = new Inputs(plan.inputs, text);
    this.parts = plan.layers.map(partOf);
    if (plan.wide) this.wide = placesOf(plan.wide.items);
  }

  /** The tokens of a text. */
  tokens(text) {
    return this.text.split(text);
  }

  /** Rows of scores, or with pooling one: before softmax. */
  scores(tokens, records) {
    const { plan } = this;
    let rows = [plan.bias && Float32Array.from(plan.bias.data)];
    if (plan.inputs.length) {
      const { ys, end } = runAll(this.parts, this.inputs.read(tokens), records);
      const xs = plan.pooled ? single(pool(plan.pooled, ys, end)) : ys;
      const scores = plan.head.reduce((x, part) => affineRows(part, x), xs);
      rows = Array.from({ length: scores.rows }, (_, t) => scores.data.subarray(t * scores.size, (t + 1) * scores.size));
    }
    if (plan.wide) {
      const { table, order, edges } = plan.wide;
      const lower = edges ? (token) => this.text.lower(token) : null;
      for (const gram of ngrams(tokens, order, lower)) {
        const place = this.wide.get(gram);
        if (place !== undefined) rows[0].forEach((_, k) => (rows[0][k] += table.data[place * rows[0].length + k]));
      }
    }
    return rows;
  }
}

class Tagger extends Network {
  /** {tokens, tags, probabilities}: for each token its tag, and the probability of every label.
      records: a list that what happened in each direction of each layer is added to. */
  answer(text, { records } = {}) {
    const tokens = this.tokens(text);
    const { path } = this.plan.answer;
    const scores = tokens.length ? this.scores(tokens, records) : [];
    const logs = scores.map(logSoftmax);
    if (!path) return this.named(tokens, scores.map(argmax), logs.map(exp));
    if (path.softmax) return this.named(tokens, bestPath(path, logs), logs.map(exp));
    return this.named(tokens, bestPath(path, scores), marginals(path, scores));
  }

  named(tokens, best, probabilities) {
    return { tokens, tags: best.map((i) => this.labels[i]), probabilities };
  }
}

class Classifier extends Network {
  /** {tokens, labels, probabilities}: the labels given, and the probability of every label.
      Throws a RangeError for a text that is too long for the model. */
  answer(text, { records } = {}) {
    const tokens = this.tokens(text);
    const { longest } = this.text;
    if (longest && tokens.length > longest) {
      throw new RangeError(`expected at most ${longest} tokens, found ${tokens.length}; shorten the text`);
    }
    const [scores] = this.scores(tokens, records);
    const each = Array.from(scores, (_, i) => i);
    const given = this.plan.answer.several
      ? each.filter((i) => scores[i] > 0).sort((a, b) => scores[b] - scores[a])
      : [argmax(scores)];
    const probabilities = this.plan.answer.several
      ? Float64Array.from(scores, (score) => 1 / (1 + Math.exp(-score)))
      : exp(logSoftmax(scores));
    return { tokens, labels: given.map((i) => this.labels[i]), probabilities };
  }
}

const END = 1; // the id of a line's end
const MOMENTS = 200; // steps whose numbers are kept

class LanguageModel extends Network {
  constructor(plan, text) {
    super(plan, text);
    this.place = placesOf(this.labels);
    this.between = ["space", "words"].includes(text.kind) ? " " : "";
    this.read = []; // what was read last, token by token, so that a longer text is not read from its beginning
  }

  /** {tokens, logs, next}: what is read, which begins with a line's end; the log-probability of each token but the first;
      and that of every label after the last. Each line of the text ends but the last.
      records: of the last steps only; `skipped` is how many come before them. */
  answer(text, { records } = {}) {
    const tokens = this.tokens(text);
    const ids = tokens.map((token) => this.place.get(token) ?? 0);
    const { read } = this;
    let same = 0;
    while (same < ids.length && same < read.length && read[same].id === ids[same]) same++;
    read.length = same;
    for (const id of ids.slice(same)) {
      const before = read.at(-1);
      const log = before ? logSoftmax(this.scoresAfter(before))[id] : null;
      read.push({ ...this.after(id, before), log });
      if (read.length > MOMENTS) read[read.length - 1 - MOMENTS].moments = null;
    }
    const seen = read.slice(-MOMENTS).filter((one) => one.moments);
    records?.push(...directionsOf(this.parts).map((one, k) => new Record(one, seen.map(({ moments }) => moments[k]))));
    return {
      tokens,
      skipped: tokens.length - seen.length,
      logs: read.slice(1).map((one) => one.log),
      next: this.nextAfter(read.length - 1),
    };
  }

  /** The log-probability of every label after token k of the text that was answered last. */
  nextAfter(k) {
    return logSoftmax(this.scoresAfter(this.read[k]));
  }

  tokens(text) {
    const end = this.labels[END];
    return text.split("\n").flatMap((line) => [end, ...this.text.split(line)]);
  }

  /** What there is after reading one id: {id, states, moments, vector}. */
  after(id, before) {
    const fresh = !before || (id === END && !this.plan.answer.carries);
    const now = { id, states: [], moments: [] };
    const label = this.labels[id];
    now.vector = step(this.parts, this.inputs.vector(label), fresh ? null : before.states, now, label).slice();
    return now;
  }

  scoresAfter({ vector }) {
    return this.plan.head.reduce((x, part) => affine(part, x), vector);
  }

  /** Tokens drawn one by one, as pieces of text that can be joined as they come; the same seed gives the same text, that
      of `elman sample`. temperature: 0 takes the likeliest token. */
  *sample({ prompt = "", tokens = 100, temperature = 1, seed = 1 } = {}) {
    const random = generator(seed);
    this.answer(prompt);
    let last = this.read.at(-1);
    let begun = last.id !== END;
    let held = [];
    for (let count = 0; count < tokens; count++) {
      const id = draw(this.scoresAfter(last), temperature, random);
      if (this.text.kind === "subwords") {
        if (id !== END) held.push(this.labels[id]);
        const text = this.text.join(held);
        if (id === END || !text.includes("\ufffd") || count === tokens - 1) {
          yield text + (id === END ? "\n" : "");
          held = [];
        }
      } else yield id === END ? "\n" : (begun ? this.between : "") + this.labels[id];
      begun = id !== END;
      last = this.after(id, last);
    }
  }
}

/** One step of parts from the states of their directions, or null at the start; `now` takes those after it. key: of x. */
function step(parts, x, states, now, key) {
  for (const part of parts) {
    if (part.directions) {
      const [direction] = part.directions;
      const at = states ? direction.copy(states[now.states.length]) : direction.start();
      x = direction.advance(at, x, key);
      now.states.push(at);
      now.moments.push(direction.moment());
    } else if (part.inner) {
      const y = step(part.inner, x, states, now, key);
      x = y.map((value, i) => value + x[i]);
    } else {
      x = part.run({ rows: 1, size: x.length, data: x }).ys.data;
    }
    key = undefined; // what follows does not depend on x alone
  }
  return x;
}

/** The directions of all parts, in their order. */
export function directionsOf(parts) {
  return parts.flatMap((part) => part.directions ?? directionsOf(part.inner ?? []));
}

/** An id but 0, drawn from p^(1/temperature), in float32 as in Python. */
function draw(scores, temperature, random) {
  const allowed = scores.slice();
  allowed[0] = -Infinity;
  if (temperature === 0) return argmax(allowed);
  const most = allowed.reduce((a, b) => Math.max(a, b));
  const sums = new Float32Array(allowed.length);
  let sum = 0;
  allowed.forEach((score, i) => {
    const chance = Math.fround(Math.exp(Math.fround(Math.fround(score - most) / temperature)));
    sums[i] = sum = Math.fround(sum + chance);
  });
  const target = Math.fround(random() * sum);
  const found = sums.findIndex((one) => one > target);
  return found < 0 ? sums.length - 1 : found;
}

const KINDS = { Tags: Tagger, Labels: Classifier, Next: LanguageModel };

function single(data) {
  return { rows: 1, size: data.length, data };
}

function exp(logs) {
  return logs.map(Math.exp);
}

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
