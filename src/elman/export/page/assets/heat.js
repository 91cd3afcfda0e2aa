// States and gates under their tokens, as figures/heat.py draws them; drawn again whenever what is shown changes.

import { view } from "elman/data";
import { show } from "elman/numbers";
import { clean, draw, fit, legend, line, raster, rect, text, visible, width } from "elman/scene";
import { follow, selection, shown } from "elman/selection";

const MARGIN = 148; // for the names of rows, at the left

export function start() {
  const svg = document.querySelector("#states figure svg");
  follow(["text", "place", "what"], () => {
    const numbers = shown();
    const { name } = view.places[selection.place];
    heat(svg, numbers, view.tokens, `${name}: ${selection.what}`, selection.what.startsWith("state"));
  });
}

/** (steps, units) numbers, one column per step and one row per unit, under the tokens. */
export function heat(svg, numbers, tokens, title, signed) {
  const [T, U] = [tokens.length, numbers.columns];
  const [least, most] = bounds(numbers, T);
  signed ||= least < 0;
  const largest = Math.max(Math.abs(least), Math.abs(most)) || 0;
  const scale = largest === 0 || (!signed && largest >= 0.25 && largest <= 1) ? 1 : largest;
  const wide = columnWidth(tokens);
  const [top, height] = [54, Math.max(20, Math.min(U * 14, Math.max(240, U)))];
  const end = MARGIN + T * wide;
  const marks = [text(8, 16, title, { size: 13, bold: true }), ...tokenRow(tokens, wide, top - 14)];
  if (T && U) marks.push(raster(MARGIN, top, T * wide, height, U, T, (unit, step) => numbers.at(step, unit) / scale, { title }));
  marks.push(rect(MARGIN, top, T * wide, height, "grid"));
  for (const value of ticks(U, Math.max(2, Math.min(9, Math.trunc(height / 16))))) {
    const y = top + ((value + 0.5) / Math.max(U, 1)) * height;
    marks.push(line([MARGIN - 4, y], [MARGIN, y], "muted", 1));
    marks.push(text(MARGIN - 8, y, `unit ${value}`, { fill: "muted", size: 11, anchor: "end" }));
  }
  const bottom = top + height + 20;
  marks.push(...legend(MARGIN, bottom, signed ? show(-scale) : "0", show(scale), signed));
  const whole = Math.max(end + 8, MARGIN + 260, 16 + width(title, 13, true));
  const words = `${title}: ${U} units by ${T} steps, from ${T ? show(least) : "none"} to ${T ? show(most) : "none"}.`;
  draw(svg, whole, bottom + 16, title, words, marks);
}

/** One width for all, so that most tokens fit: the 95th percentile, within bounds. */
function columnWidth(tokens) {
  const widths = tokens.map((token) => width(visible(token), 12) + 10).sort((a, b) => a - b);
  if (!widths.length) return 44;
  const place = 0.95 * (widths.length - 1);
  const [low, high] = [widths[Math.floor(place)], widths[Math.ceil(place)]];
  return Math.min(Math.max(low + (place - Math.floor(place)) * (high - low), 44), 88);
}

function tokenRow(tokens, wide, y) {
  return tokens.map((token, step) =>
    text(MARGIN + (step + 0.5) * wide, y, fit(token, wide - 4, 12), {
      anchor: "middle", data: { step }, title: `${step}: ${clean(token)}`,
    }),
  );
}

/** Whole numbers below `count`, a round step apart, about `most` of them. */
function ticks(count, most) {
  const least = Math.max(count / (most - 1), 1);
  const power = 10 ** Math.floor(Math.log10(least) + 1e-9);
  const step = [1, 2, 5, 10].map((m) => m * power).find((one) => one >= least * (1 - 1e-9));
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
}

function bounds(numbers, steps) {
  let [least, most] = [Infinity, -Infinity];
  for (let t = 0; t < steps; t++) {
    for (let u = 0; u < numbers.columns; u++) {
      const value = numbers.at(t, u);
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  return [least, most];
}
