// Shows in all drawings and tables which step is under the pointer, and which cell, unit and output are selected.

import { view } from "elman/data";
import { columnOf, outline, raster, rowsOf } from "elman/raster";
import { follow, selection, unit } from "elman/selection";

export function start() {
  let steps;
  let outputs;
  const cells = [...document.querySelectorAll("svg [data-place][data-step][role=button]")];
  const buttons = [...document.querySelectorAll("svg [data-output][role=button]")];
  const drawings = [...document.querySelectorAll("[data-view=unrolled] svg, [data-what] svg, [data-matrix] svg")];
  let here = [];
  let chosen = [];
  follow(["text"], () => {
    [steps, outputs, here, chosen] = [grouped("step"), grouped("output"), [], []];
  });
  follow(["over", "step", "text"], () => swap("here", here, (here = steps.get(selection.over ?? selection.step) ?? [])));
  follow(["output"], () => {
    swap("chosen", chosen, (chosen = outputs.get(selection.output) ?? []));
    for (const button of buttons) reach(button, Number(button.dataset.output) === selection.output);
  });
  follow(["place", "step"], () => {
    const name = view.places[selection.place]?.name;
    for (const cell of cells) {
      const is = cell.dataset.place === name && Number(cell.dataset.step) === selection.step;
      cell.classList.toggle("chosen", is);
      reach(cell, is);
    }
  });
  follow(Object.keys(selection), () => drawings.forEach(mark));
  const tables = [...document.querySelectorAll(".grid")];
  let first = true; // at first drawings are scrolled to their start, where the names of their rows are
  follow(["step", "text"], () => first || drawings.forEach(reveal));
  follow(["step"], () => tables.forEach(revealCell));
  first = false;
}

/** Of many marks Tab stops at the selected one; the arrow keys lead to the others. */
function reach(mark, chosen) {
  mark.setAttribute("tabindex", chosen ? 0 : -1);
  mark.setAttribute("aria-pressed", chosen);
}

function mark(svg) {
  const figure = svg.closest("figure");
  if (figure.matches(".choice:not(.shown)")) return;
  const column = columnOf(svg, selection.over ?? selection.step);
  outline(svg, "band", column && [column[0], 0, column[1], svg.viewBox.baseVal.height]);
  const box = raster(svg);
  if (!box || !rowsOf(svg)) return;
  const row = rowsOf(svg) === "unit" ? unit() : selection.output;
  outline(svg, "row", [box.x, box.y + (box.height * row) / box.rows, box.width, box.height / box.rows]);
}

/** Scroll a drawing sideways in its box until the selected step is visible. */
function reveal(svg) {
  const column = columnOf(svg, selection.step);
  if (column) scroll(svg.parentElement, ...column);
}

/** The same for a table, whose first column stays where it is. */
function revealCell(table) {
  const cell = table.querySelector(`th[data-step="${selection.step}"]`);
  const names = table.rows[0].cells[0].offsetWidth;
  if (cell) scroll(table.parentElement, cell.offsetLeft - names, cell.offsetWidth + names);
}

/** Scroll a box sideways until what is at `left` in it is visible. */
function scroll(box, left, width) {
  if (left < box.scrollLeft || left + width > box.scrollLeft + box.clientWidth) {
    box.scrollLeft = left - (box.clientWidth - width) / 2;
  }
}

function grouped(key) {
  const groups = new Map();
  for (const element of document.querySelectorAll(`[data-${key}]`)) {
    const value = Number(element.dataset[key]);
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
