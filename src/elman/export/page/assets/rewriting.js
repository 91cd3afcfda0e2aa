// An encoder-decoder: reads a source, and writes the likeliest target that a beam search finds.

import { affine, affineRows, Direction, logSoftmax, partOf, placesOf, rowsOf, runAll } from "elman/network";
import { Text } from "elman/text";

const END = 1; // its id, in both vocabularies; 0 is the unknown symbol

export class Rewriter {
  constructor(plan, letters) {
    Object.assign(this, { plan, task: plan.task, labels: plan.target_symbols });
    [this.source, this.target] = [new Text(plan.source, letters), new Text(plan.target)];
    this.parts = plan.encoder.map(partOf);
    this.decoder = plan.decoder.map(({ directions: [one] }) => new Direction(one));
    [this.place, this.known] = [placesOf(plan.source_symbols), placesOf(plan.target_symbols)];
  }

  tokens(text) {
    return this.source.split(text);
  }

  /** {tokens, text, symbols, score, logProbability, complete, labels, probabilities, alignment}: what is read, with features
      and the end; the best answer; the probability of every one of `labels` at each of its symbols and at the end; and
      there the weight of each token, null without attention.
      features: symbols besides the text; beam: hypotheses kept, 1 is greedy; records: of the encoder. */
  answer(text, { features = [], beam = this.plan.beam, records } = {}) {
    const symbols = [...features.map((one) => `<${one}>`), ...this.tokens(text)];
    const tokens = [...symbols, this.plan.source_symbols[END]];
    const read = this.read(tokens, records);
    const longest = Math.max(2 * this.plan.longest + 10, 3 * symbols.length);
    const { ids, total, score, complete, weights, chances } = this.search(read, beam, longest);
    const written = ids.map((id) => read.names[id]);
    const alignment = this.plan.attention.kind === "none" ? null : weights;
    return {
      tokens, text: this.target.join(written), symbols: written, score, logProbability: total, complete,
      labels: read.names, probabilities: chances, alignment,
    };
  }

  /** All that does not change while the target is written. */
  read(tokens, records) {
    const { plan } = this;
    const { attention, source_vectors: vectors } = plan;
    const xs = rowsOf(tokens.length, vectors.shape[1]);
    tokens.forEach((token, t) => xs.data.set(row(vectors, this.place.get(token) ?? 0), t * xs.size));
    const { ys: h, end } = runAll(this.parts, xs, records);
    const features = tokens.map(isFeature);
    const names = [...plan.target_symbols];
    if (attention.gate) names.push(...new Set(tokens.filter((one, t) => !features[t] && !this.known.has(one))));
    const numbers = placesOf(names);
    const shift = new Float32Array(plan.target_vectors.shape[1]);
    if (plan.features) {
      const sum = new Float32Array(xs.size);
      features.forEach((is, t) => is && sum.forEach((_, k) => (sum[k] += xs.data[t * xs.size + k])));
      shift.set(product(plan.features, sum));
    }
    return {
      h,
      keys: attention.key ? affineRows(attention.key, h) : h,
      reads: attention.read && affineRows(attention.read, h),
      names,
      copied: tokens.map((token, t) => (features[t] ? 0 : (numbers.get(token) ?? 0))),
      first: features.filter(Boolean).length,
      shift,
      start: affine(plan.bridge, end),
    };
  }

  /** What there is before the first symbol. */
  begin({ start }) {
    let at = 0;
    const states = this.decoder.map((one) => {
      const { fields } = one;
      const state = start.slice(at, (at += fields * one.hidden));
      return { state, seen: one.ofState("q", state) };
    });
    const { plan } = this;
    return {
      ids: [],
      total: 0,
      weights: [],
      chances: [],
      states,
      y: this.decoder.at(-1).ofState("y", states.at(-1).state),
      fed: new Float32Array(plan.attention.hidden.b.shape[0]),
      mixed: new Float32Array(plan.target_vectors.shape[1]),
      position: null,
    };
  }

  /** One step after a hypothesis: how likely each symbol is, and what the next step needs. */
  step(read, before) {
    const { plan, decoder } = this;
    const { attention: a, target_vectors: vectors } = plan;
    const { h, keys, reads, names, first } = read;
    const last = before.ids.at(-1) ?? END;
    const vector = row(vectors, last < vectors.shape[0] ? last : 0).map((value, k) => value + read.shift[k]);
    let weights = null;
    let context = null;
    if (a.kind === "additive") {
      const query = product(a.query, before.y);
      weights = softmax(each(h.rows, (j) => query.reduce((sum, q, k) => sum + a.v.data[k] * Math.tanh(q + keys.data[j * keys.size + k]), 0)));
      context = mean(weights, h);
    }
    let y = joined([vector, ...(context ? [context] : []), ...(plan.input_feeding ? [before.fed] : []), ...(plan.output_feedback ? [before.mixed] : [])]);
    const states = before.states.map((state, k) => {
      const at = decoder[k].copy(state);
      y = decoder[k].advance(at, y);
      return at;
    });
    y = y.slice();
    const query = a.query && a.kind !== "additive" ? product(a.query, y) : y;
    const scored = () => each(h.rows, (j) => dot(query, keys.data.subarray(j * keys.size, (j + 1) * keys.size)));
    if (a.kind === "hard") {
      const own = affine(a.hidden, y);
      const prior = a.moves ? this.moved(scored(), before.position, first) : softmax(scored());
      const joint = each(h.rows, (j) => {
        const hidden = own.map((value, k) => Math.tanh(value + reads.data[j * reads.size + k]));
        return this.mixture(hidden, each(h.rows, (i) => Number(i === j)), read).map((p) => prior[j] * p);
      });
      const chances = each(names.length, (s) => joint.reduce((sum, line) => sum + line[s], 0));
      return { chances, states, y, fed: before.fed, mixed: before.mixed, weightsOf: (id) => joint.map((line) => line[id] / chances[id]) };
    }
    if (a.kind === "dot" || a.kind === "general") {
      weights = softmax(scored());
      context = mean(weights, h);
    }
    let fed = affine(a.hidden, a.kind === "none" ? y : joined([context, y]));
    if (a.kind !== "none" || a.none_tanh) fed = fed.map(Math.tanh);
    const chances = this.mixture(fed, weights, read);
    let { mixed } = before;
    if (plan.output_feedback) {
      mixed = new Float32Array(vectors.shape[1]);
      for (let s = 0; s < vectors.shape[0]; s++) row(vectors, s).forEach((value, k) => (mixed[k] += chances[s] * value));
    }
    return { chances, states, y, fed, mixed, weightsOf: () => weights };
  }

  /** Where a monotonic model writes from: never before where it wrote from. */
  moved(scored, position, first) {
    const moves = this.plan.attention.moves.data;
    const prior = new Float64Array(scored.length);
    const go = (from, nearest, share) => {
      const reached = softmax(scored.slice(nearest).map((score, k) => score + moves[Math.min(nearest + k - from, moves.length - 1)]));
      reached.forEach((p, k) => (prior[nearest + k] += share * p));
    };
    if (position) position.forEach((share, i) => go(i, i, share));
    else go(first - 1, first, 1);
    return prior;
  }

  /** p(symbol) of a hidden vector, with what is copied. */
  mixture(hidden, weights, { names, copied }) {
    const { output, attention } = this.plan;
    const own = softmax(affine(output, hidden));
    if (!attention.gate) return own;
    const gate = 1 / (1 + Math.exp(-affine(attention.gate, hidden)[0]));
    const both = new Float64Array(names.length);
    own.forEach((p, s) => (both[s] = gate * p));
    copied.forEach((symbol, j) => (both[symbol] += (1 - gate) * weights[j]));
    return both;
  }

  /** At each step the likeliest continuations of all hypotheses are kept; one that has ended takes its place with it. */
  search(read, beam, longest) {
    const penalty = this.plan.length_penalty;
    const [finished, cut] = [[], []];
    let [live, room] = [[this.begin(read)], beam];
    for (let length = 0; live.length; length++) {
      const found = live.flatMap((before) => {
        const after = this.step(read, before);
        const logs = Array.from(after.chances, Math.log);
        return highest(logs, beam, END).map((id) => ({ before, after, id, total: before.total + logs[id] }));
      });
      const next = [];
      for (const { before, after, id, total } of best(found, room)) {
        const where = after.weightsOf(id);
        const weights = where ? [...before.weights, where] : before.weights;
        const chances = [...before.chances, after.chances];
        const ends = id === END;
        if (ends || length + 1 >= longest) {
          const ids = ends ? before.ids : [...before.ids, id];
          (ends ? finished : cut).push({ ids, total, score: total / (length + 1) ** penalty, complete: ends, weights, chances });
          room--;
        } else next.push({ ...after, ids: [...before.ids, id], total, weights, chances, position: where });
      }
      const worst = Math.max(...finished.map((one) => one.score));
      live = next.filter(({ total }) => total / (longest + 1) ** penalty > worst);
    }
    return (finished.length ? finished : cut).reduce((a, b) => (b.score > a.score ? b : a));
  }
}

/** A symbol of the source that is not part of its text. */
export function isFeature(symbol) {
  return [...symbol].length > 2 && symbol.startsWith("<") && symbol.endsWith(">") && !["</s>", "<unknown>"].includes(symbol);
}

function each(count, of) {
  return Array.from({ length: count }, (_, i) => of(i));
}

function row({ shape, data }, i) {
  return data.subarray(i * shape[1], (i + 1) * shape[1]);
}

function softmax(scores) {
  return logSoftmax(scores).map(Math.exp);
}

function product(W, x) {
  return affine({ W, b: { data: new Float32Array(W.shape[0]) } }, x);
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function mean(weights, { rows, size, data }) {
  const out = new Float32Array(size);
  for (let j = 0; j < rows; j++) for (let k = 0; k < size; k++) out[k] += weights[j] * data[j * size + k];
  return out;
}

function joined(parts) {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** The indices from `first` on of the highest `count` values above minus infinity, of equal ones the first. */
function highest(values, count, first) {
  const order = [];
  for (let i = first; i < values.length; i++) {
    if (values[i] === -Infinity || (order.length === count && values[i] <= values[order.at(-1)])) continue;
    let at = order.length;
    while (at > 0 && values[i] > values[order[at - 1]]) at--;
    order.splice(at, 0, i);
    if (order.length > count) order.pop();
  }
  return order;
}

function best(found, count) {
  return found.sort((a, b) => b.total - a.total).slice(0, count);
}
