// Shows in all drawings and tables which step is under the pointer, and which cell, unit and output are selected.

import { view } from "elman/data";
import { columnOf, outline, raster, rowsOf } from "elman/raster";
import { follow, selection, unit } from "elman/selection";

export function start() {
  const steps = grouped("step");
  const outputs = grouped("output");
  const cells = [...document.querySelectorAll("svg [data-place][data-step][role=button]")];
  const drawings = [...document.querySelectorAll("[data-view=unrolled] svg, [data-what] svg, [data-matrix] svg")];
  let here = [];
  let answers = [];
  let last = null;
  follow(() => {
    const { name } = view.places[selection.place];
    const step = selection.over ?? selection.step;
    swap("here", here, (here = steps.get(String(step)) ?? []));
    swap("chosen", answers, (answers = outputs.get(String(selection.output)) ?? []));
    for (const cell of cells) {
      const chosen = cell.dataset.place === name && cell.dataset.step === String(selection.step);
      cell.classList.toggle("chosen", chosen);
      cell.setAttribute("tabindex", chosen ? 0 : -1); // one stop for Tab; the arrow keys lead on
    }
    for (const output of document.querySelectorAll("svg [data-output][role=button]")) {
      output.setAttribute("tabindex", output.dataset.output === String(selection.output) ? 0 : -1);
    }
    drawings.forEach((svg) => mark(svg, step));
    if (selection.step !== last) drawings.forEach((svg) => reveal(svg, selection.step));
    last = selection.step;
  });
}

function mark(svg, step) {
  const figure = svg.closest("figure");
  if (figure.matches(".choice:not(.shown)")) return;
  const column = columnOf(svg, step);
  outline(svg, "band", column && [column[0], 0, column[1], svg.viewBox.baseVal.height]);
  const box = raster(svg);
  if (!box || !rowsOf(svg)) return;
  const row = rowsOf(svg) === "unit" ? unit() : selection.output;
  outline(svg, "row", [box.x, box.y + (box.height * row) / box.rows, box.width, box.height / box.rows]);
}

/** Scroll a drawing sideways in its box until the step can be seen. */
function reveal(svg, step) {
  const column = columnOf(svg, step);
  const box = svg.parentElement;
  if (!column || !box.clientWidth) return;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const [left, width] = [column[0] * scale, column[1] * scale];
  if (left < box.scrollLeft || left + width > box.scrollLeft + box.clientWidth) {
    box.scrollLeft = left - (box.clientWidth - width) / 2;
  }
}

function grouped(key) {
  const groups = new Map();
  for (const element of document.querySelectorAll(`[data-${key}]`)) {
    const value = element.dataset[key];
    if (!groups.has(value)) groups.set(value, []);
    groups.get(value).push(element);
  }
  return groups;
}

function swap(name, before, after) {
  if (before === after) return;
  before.forEach((element) => element.classList.remove(name));
  after.forEach((element) => element.classList.add(name));
}
