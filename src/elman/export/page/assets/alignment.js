// What is written from where, as figures/matrices.py draws it; drawn again with every answer.

import { view } from "elman/data";
import { clean, draw, fit, legend, raster, rect, text, visible, width } from "elman/scene";
import { follow } from "elman/selection";

const NAMES = 130; // the width of the names of rows

/** weights(): of the answer that is shown. */
export function start(weights) {
  const figure = document.querySelector("#alignment figure");
  const { what } = figure.dataset;
  delete figure.dataset.what;
  follow(["text"], () => {
    align(figure.querySelector("svg"), weights(), view.tokens, view.outputs.map(({ target }) => target), what);
  });
}

/** weights[j][i] from 0 to 1: of target symbol j downwards over source symbol i to the right. what: what they are. */
export function align(svg, weights, sources, targets, what) {
  const [J, T] = [targets.length, sources.length];
  const title = `alignment: ${what}`;
  const cell = Math.max(9, Math.min(26, 640 / Math.max(J, T, 1)));
  const size = Math.min(11, cell);
  const top = 36 + Math.min(Math.max(0, ...sources.map((one) => width(visible(one), size))), 90) + 6;
  const marks = [text(8, 16, title, { size: 13, bold: true })];
  sources.forEach((token, i) => {
    const look = { size, rotate: -90, data: { step: i }, title: `step ${i}: ${clean(token)}` };
    marks.push(text(NAMES + (i + 0.5) * cell, top - 6, fit(token, 92, size), look));
  });
  targets.forEach((target, j) => {
    const look = { size, anchor: "end", data: { output: j }, title: `output ${j}: ${clean(target)}` };
    marks.push(text(NAMES - 6, top + (j + 0.5) * cell, fit(target, NAMES - 14, size), look));
  });
  if (J && T) {
    marks.push(raster(NAMES, top, T * cell, J * cell, J, T, (j, i) => weights[j][i], { data: { rows: J, cols: T }, title }));
  }
  marks.push(rect(NAMES, top, T * cell, J * cell, "grid"));
  const wide = Math.max(NAMES + T * cell + 12, 16 + width(title, 13, true), NAMES + 320);
  const high = top + J * cell + 40;
  marks.push(...legend(NAMES, high - 16, "0", "1", false));
  const words = `alignment: the ${what} of ${J} target symbols over ${T} source symbols.`;
  draw(svg, wide, high, title, words, marks);
}
