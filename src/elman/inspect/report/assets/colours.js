// The text and the tables under it, coloured by their numbers: by one unit, or by the selected output.

import { array, view } from "elman/data";
import { largest, show } from "elman/numbers";
import { follow, selection, shown, unit } from "elman/selection";

export function start() {
  const says = document.querySelector("[data-says=unit]");
  let chips = [];
  follow(["text"], () => (chips = [...document.querySelectorAll("[data-chips=unit] [data-step]")]));
  follow(["place", "what", "step", "unit", "text"], () => {
    const numbers = shown();
    const values = chips.map((_, step) => numbers.at(step, unit()));
    paint(chips, values, largest(values));
    chips.forEach((chip, step) => (chip.title = show(values[step])));
    says.textContent = `${view.places[selection.place].name}, ${selection.what}, unit ${unit()}`;
  });
  if (!document.querySelector("[data-grid]")) return;
  follow(["output"], () => {
    fill("gradient", view.places.map((place) => array(place.gradient).row(selection.output)), true);
    fill("attribution", [view.attribution, view.left_out].map((index) => array(index).row(selection.output)), false);
  });
}

/** Put rows of numbers into a table. together: all rows share one scale, otherwise each has its own. */
function fill(name, rows, together) {
  const lines = document.querySelectorAll(`[data-grid=${name}] [data-row]`);
  rows.forEach((values, i) => {
    const cells = [...lines[i].querySelectorAll("td")];
    cells.forEach((cell, step) => (cell.textContent = show(values[step])));
    paint(cells, values, largest(together ? rows.flat() : values));
  });
}

/** Colour by the share of the largest: its root, so that small shares differ visibly from zero. */
function paint(boxes, values, most) {
  boxes.forEach((box, i) => {
    const share = Number.isFinite(values[i]) && most > 0 ? Math.sqrt(Math.abs(values[i]) / most) : 0;
    box.style.setProperty("--share", share.toFixed(3));
    box.style.setProperty("--hue", values[i] < 0 ? "var(--negative)" : "var(--positive)");
  });
}
