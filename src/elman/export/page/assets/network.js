// A network in evaluation: look-ups, affine maps, recurrences. Rows of numbers are {rows, size, data: Float32Array}.

const MOST = 5000; // tokens whose vectors are remembered

export function rowsOf(rows, size) {
  return { rows, size, data: new Float32Array(rows * size) };
}

/** out += x W, for W (x.length, out.length): four rows at a time, so that out is read and written less often. */
export function addProduct(out, x, W, from = 0) {
  const n = out.length;
  const count = x.length;
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const a = x[i];
    const b = x[i + 1];
    const c = x[i + 2];
    const d = x[i + 3];
    if (a === 0 && b === 0 && c === 0 && d === 0) continue;
    const p = from + i * n;
    const q = p + n;
    const r = q + n;
    const s = r + n;
    for (let j = 0; j < n; j++) out[j] += a * W[p + j] + b * W[q + j] + c * W[r + j] + d * W[s + j];
  }
  for (; i < count; i++) {
    const a = x[i];
    const p = from + i * n;
    for (let j = 0; j < n; j++) out[j] += a * W[p + j];
  }
}

/** W x + b, for W (outputs, x.length), into `out`. */
export function affine({ W, b, activation }, x, out = new Float32Array(W.shape[0])) {
  const [outputs, n] = W.shape;
  const w = W.data;
  const act = ACTIVATIONS[activation];
  for (let k = 0; k < outputs; k++) {
    let a = 0;
    let c = 0;
    let d = 0;
    let e = 0;
    const p = k * n;
    let i = 0;
    for (; i + 3 < n; i += 4) {
      a += w[p + i] * x[i];
      c += w[p + i + 1] * x[i + 1];
      d += w[p + i + 2] * x[i + 2];
      e += w[p + i + 3] * x[i + 3];
    }
    for (; i < n; i++) a += w[p + i] * x[i];
    const sum = a + c + (d + e) + b.data[k];
    out[k] = act ? act(sum) : sum;
  }
  return out;
}

const ACTIVATIONS = { tanh: Math.tanh, relu: (value) => Math.max(value, 0) };

/** The vectors of tokens, side by side; what a token's vector is, is remembered, and the rows have the tokens as keys. */
export class Inputs {
  constructor(inputs, text) {
    this.parts = inputs.map((one) => READ[one.is](one, text));
    this.size = this.parts.reduce((sum, part) => sum + part.size, 0);
    this.known = new Map();
  }

  read(tokens) {
    const xs = rowsOf(tokens.length, this.size);
    tokens.forEach((token, t) => xs.data.set(this.vector(token), t * this.size));
    return { ...xs, keys: tokens };
  }

  vector(token) {
    let vector = this.known.get(token);
    if (!vector) {
      vector = new Float32Array(this.size);
      let at = 0;
      for (const { size, of } of this.parts) {
        vector.set(of(token), at);
        at += size;
      }
      if (this.known.size >= MOST) this.known.clear();
      this.known.set(token, vector);
    }
    return vector;
  }
}

/** Kind of an input -> {size, of(token): its vector}. */
const READ = {
  Table({ of, items, vectors }, text) {
    const place = placesOf(items);
    const form = formOf(of, text);
    const id = of === "given" ? (token) => place.get(token) || place.get(text.lower(token)) : (token) => place.get(form(token));
    return { size: vectors.shape[1], of: (token) => row(vectors, id(token) ?? 0) };
  },
  Spelled({ items, vectors, longest, layer }) {
    const place = placesOf(items);
    const inner = new Recurrence(layer);
    return {
      size: inner.size,
      of(token) {
        const letters = cut(token, longest);
        const xs = rowsOf(letters.length, vectors.shape[1]);
        letters.forEach((letter, t) => xs.data.set(row(vectors, place.get(letter) ?? 0), t * xs.size));
        return inner.run(xs).end;
      },
    };
  },
  Ends({ items, vectors, longest, length }) {
    const place = placesOf(items);
    const width = vectors.shape[1];
    return {
      size: 2 * length * width,
      of(token) {
        const letters = cut(token, longest);
        const vector = new Float32Array(2 * length * width);
        for (let k = 0; k < Math.min(length, letters.length); k++) {
          vector.set(row(vectors, place.get(letters[k]) ?? 0), k * width);
          vector.set(row(vectors, place.get(letters[letters.length - 1 - k]) ?? 0), (length + k) * width);
        }
        return vector;
      },
    };
  },
};

export function placesOf(items) {
  return new Map(items.map((item, i) => [item, i]));
}

function row({ shape, data }, i) {
  return data.subarray(i * shape[1], (i + 1) * shape[1]);
}

function cut(token, longest) {
  const letters = [...token];
  const half = Math.floor(longest / 2);
  return letters.length <= longest ? letters : [...letters.slice(0, half), ...letters.slice(-half)];
}

function formOf(of, text) {
  const [, kind, count] = /^(\D+)(\d*)$/.exec(of);
  const forms = {
    token: (token) => token,
    given: (token) => token,
    lower: (token) => text.lower(token),
    shape: (token) => text.shape(token),
    prefix: (token) => [...text.lower(token)].slice(0, count).join(""),
    suffix: (token) => [...text.lower(token)].slice(-count).join(""),
  };
  return forms[kind];
}

/** One direction, or two side by side. run(xs) gives {ys, end}; with `records`, each direction adds what happened. */
export class Recurrence {
  constructor({ directions }) {
    this.directions = directions.map((one) => new Direction(one));
    this.size = this.directions.reduce((sum, one) => sum + one.hidden, 0);
  }

  run(xs, records) {
    if (this.directions.length === 1) return this.directions[0].run(xs, records);
    const sides = this.directions.map((one) => one.run(xs, records));
    const ys = rowsOf(xs.rows, this.size);
    const end = new Float32Array(this.size);
    let at = 0;
    this.directions.forEach(({ hidden }, k) => {
      for (let t = 0; t < xs.rows; t++) {
        ys.data.set(sides[k].ys.data.subarray(t * hidden, (t + 1) * hidden), t * this.size + at);
      }
      end.set(sides[k].end, at);
      at += hidden;
    });
    return { ys, end };
  }
}

/** A cell that reads a sequence, unit by unit in the function of its step. */
export class Direction {
  constructor({ equation, W, U, b, vectors, reverse, state, seen, output }) {
    Object.assign(this, { step: equation, W: W.data, U: U.data, b: b.data, reverse, output: output.data });
    this.hidden = output.shape[0];
    this.inputs = W.shape[0];
    this.first = { state: state.data, seen: seen.data };
    const { x, r, s, gate } = equation.members;
    const room = (names) => membersOf(names, this.hidden);
    [this.x, this.r, this.s, this.gate, this.after] = [room(x), room(r), room(s), room(gate), room(s)];
    this.p = membersOf(equation.members.p, this.hidden, vectors.data);
    this.delays = r.length ? seen.shape[0] : 0;
    this.fields = s.length;
    this.known = new Map();
    [this.y, this.q] = [new Float32Array(this.hidden), new Float32Array(this.hidden)];
  }

  /** The state before the first step. */
  start() {
    return this.copy(this.first);
  }

  copy({ state, seen }) {
    return { state: state.slice(), seen: seen.slice() };
  }

  /** What a state gives that no step has made: "y", the output, or "q", what U multiplies. */
  ofState(name, state) {
    const s = membersOf(this.step.members.s, this.hidden, state);
    const of = this.step[name];
    return Float32Array.from({ length: this.delays || name === "y" ? this.hidden : 0 }, (_, j) => of(s, j));
  }

  /** The numbers of the last step. */
  moment() {
    return Object.fromEntries(GROUPS.map((name) => [name, this[name].all.slice()]));
  }

  /** One step from `at`, which becomes the state after it, for an input x. Returns y, which the next step overwrites.
      key: of x, if it has one, under which x W + b is remembered. */
  advance(at, x, key) {
    const { hidden, delays, step, s, r, after, y, q } = this;
    const known = key === undefined ? undefined : this.known.get(key);
    this.x.all.set(known ?? this.b);
    if (!known) {
      addProduct(this.x.all, x, this.W);
      if (key !== undefined) {
        if (this.known.size >= MOST) this.known.clear();
        this.known.set(key, this.x.all.slice());
      }
    }
    s.all.set(at.state);
    if (delays) {
      r.all.fill(0);
      addProduct(r.all, at.seen, this.U);
    }
    step(this.x, r, s, this.p, this.gate, after, y, q);
    at.state.set(after.all);
    if (delays) {
      at.seen.copyWithin(hidden, 0, (delays - 1) * hidden);
      at.seen.set(q);
    }
    return y;
  }

  run(xs, records) {
    const { hidden } = this;
    const ys = rowsOf(xs.rows, hidden);
    const at = this.start();
    const moments = records && new Array(xs.rows);
    if (records) records.push(new Record(this, moments));
    let end = this.output;
    for (let k = 0; k < xs.rows; k++) {
      const t = this.reverse ? xs.rows - 1 - k : k;
      end = this.advance(at, xs.data.subarray(t * xs.size, (t + 1) * xs.size), xs.keys?.[t]);
      ys.data.set(end, t * hidden);
      if (moments) moments[t] = this.moment();
    }
    return { ys, end: end.slice() };
  }
}

/** Members by name, one after the other in `all`. */
function membersOf(names, size, all = new Float32Array(names.length * size)) {
  const members = Object.fromEntries(names.map((name, i) => [name, all.subarray(i * size, (i + 1) * size)]));
  return Object.defineProperty(members, "all", { value: all });
}

const GROUPS = ["x", "r", "s", "gate", "after"];

/** Every number of every step of a direction. */
export class Record {
  constructor(direction, moments) {
    Object.assign(this, { direction, moments });
  }

  /** One of the step's quantities: {rows, columns, at(step, unit)}. */
  of([group, index]) {
    const { direction, moments } = this;
    const from = index * direction.hidden;
    const at = group === "p" ? (_, unit) => direction.p.all[from + unit] : (t, unit) => moments[t][group][from + unit];
    return { rows: moments.length, columns: direction.hidden, at };
  }
}

/** Kind of a part -> what runs it: run(xs, records) gives {ys, end}. */
export function partOf(part) {
  if (part.is === "Recurrence") return new Recurrence(part);
  if (part.is === "Neighbours") return { run: (xs) => ({ ys: neighbours(part, xs) }) };
  if (part.is === "Affine") return { run: (xs) => ({ ys: affineRows(part, xs) }) };
  const inner = part.parts.map(partOf);
  return {
    inner,
    run(xs, records) {
      const { ys, end } = runAll(inner, xs, records);
      return { ys: { ...ys, data: ys.data.map((y, i) => y + xs.data[i]) }, end };
    },
  };
}

export function runAll(parts, xs, records) {
  let result = { ys: xs };
  for (const part of parts) result = part.run(result.ys, records);
  return result;
}

export function affineRows(part, xs) {
  const ys = rowsOf(xs.rows, part.b.shape[0]);
  for (let t = 0; t < xs.rows; t++) {
    affine(part, xs.data.subarray(t * xs.size, (t + 1) * xs.size), ys.data.subarray(t * ys.size, (t + 1) * ys.size));
  }
  return ys;
}

function neighbours({ before, after }, xs) {
  const count = before + 1 + after;
  const ys = rowsOf(xs.rows, count * xs.size);
  for (let t = 0; t < xs.rows; t++) {
    for (let k = 0; k < count; k++) {
      const from = t + k - before;
      if (from < 0 || from >= xs.rows) continue;
      ys.data.set(xs.data.subarray(from * xs.size, (from + 1) * xs.size), (t * count + k) * xs.size);
    }
  }
  return ys;
}

/** One vector for all steps. */
export function pool({ how, hidden, score }, { rows, size, data }, end) {
  if (how === "final") return end;
  const out = new Float32Array(size);
  if (!rows) return out;
  if (how === "max") {
    out.set(data.subarray(0, size));
    for (let t = 1; t < rows; t++) for (let j = 0; j < size; j++) out[j] = Math.max(out[j], data[t * size + j]);
    return out;
  }
  const weights = how === "mean" ? new Float32Array(rows).fill(1 / rows) : attention(hidden, score, { rows, size, data });
  const sums = new Float64Array(size);
  for (let t = 0; t < rows; t++) for (let j = 0; j < size; j++) sums[j] += weights[t] * data[t * size + j];
  out.set(sums);
  return out;
}

function attention(hidden, score, xs) {
  const inner = affineRows(hidden, xs);
  const scores = Float64Array.from({ length: xs.rows }, (_, t) => {
    let sum = 0;
    for (let j = 0; j < inner.size; j++) sum += inner.data[t * inner.size + j] * score.data[j];
    return sum;
  });
  return logSoftmax(scores).map(Math.exp);
}

export function logSoftmax(scores) {
  let most = -Infinity;
  for (let i = 0; i < scores.length; i++) if (scores[i] > most) most = scores[i];
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i] - most);
  const all = most + Math.log(sum);
  const logs = new Float64Array(scores.length);
  for (let i = 0; i < scores.length; i++) logs[i] = scores[i] - all;
  return logs;
}
