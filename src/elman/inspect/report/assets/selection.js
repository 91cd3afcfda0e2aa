// What is selected, once for the whole page: every panel shows it, and every panel may change it.

import { array, view } from "elman/data";

const losses = view.outputs.map((output) => output.loss);
const worst = Math.max(0, losses.indexOf(Math.max(...losses)));
const parameters = Object.keys(view.contributions);

// unit null: the one with the largest state at this step. over: the step under the pointer, or null. text: which text it
// is, where another can be typed; then all that is there for each step is made again.
export const selection = {
  place: 0,
  step: view.outputs[worst]?.step ?? view.tokens.length - 1,
  unit: null,
  output: worst,
  what: whats(0)[0],
  parameter: parameters.find((name) => name.endsWith(view.places[0].name)) ?? parameters[0] ?? null,
  k: view.tokens.length,
  over: null,
  text: 0,
};

const listeners = [];

/** Call `listener` now and whenever one of these keys has changed. */
export function follow(keys, listener) {
  listeners.push([keys, listener]);
  listener();
}

/** Change what is selected; numbers are kept within their bounds. */
export function select(changes) {
  const next = { ...selection, ...changes };
  next.place = within(next.place, view.places.length);
  next.step = within(next.step, view.tokens.length);
  next.output = within(next.output, view.outputs.length);
  next.k = Math.max(1, within(next.k, view.tokens.length + 1));
  if (next.unit !== null) next.unit = within(next.unit, units(next.place));
  if (!whats(next.place).includes(next.what)) next.what = whats(next.place)[0];
  const changed = Object.keys(next).filter((key) => next[key] !== selection[key]);
  Object.assign(selection, next);
  for (const [keys, listener] of listeners) if (keys.some((key) => changed.includes(key))) listener();
}

/** What a place has heat maps for: "state h", "gate f". */
export function whats(place) {
  const { states, gates } = view.places[place] ?? { states: {}, gates: {} };
  return [...Object.keys(states).map((name) => `state ${name}`), ...Object.keys(gates).map((name) => `gate ${name}`)];
}

/** The numbers behind the heat map that is shown. */
export function shown() {
  const [kind, name] = selection.what.split(/ (.*)/);
  return array(view.places[selection.place][`${kind}s`][name]);
}

/** How many units a place has. */
export function units(place) {
  return firstState(place).columns;
}

/** The unit that is shown: the chosen one, otherwise the one whose state is largest at this step. */
export function unit() {
  if (selection.unit !== null) return selection.unit;
  const sizes = firstState(selection.place).row(selection.step).map(Math.abs);
  return sizes.reduce((best, size, i) => (size > sizes[best] ? i : best), 0);
}

function firstState(place) {
  return array(Object.values(view.places[place].states)[0]);
}

function within(value, count) {
  return Math.min(Math.max(Number(value) || 0, 0), count - 1);
}
