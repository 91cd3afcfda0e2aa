// The equation of the selected cell, with the numbers of one unit at one step.

import { array, view } from "elman/data";
import { exact } from "elman/numbers";
import { follow, selection, unit } from "elman/selection";

export function start() {
  const cells = [...document.querySelectorAll("#equation .choice")];
  follow(["place", "step", "unit", "text"], () => {
    const { quantities } = view.places[selection.place];
    for (const slot of cells[selection.place].querySelectorAll("[data-quantity]")) {
      const { quantity, take = "unit" } = slot.dataset;
      const numbers = array(quantities[quantity]);
      const row = numbers.row(selection.step);
      const value = exact(TAKE[take](row), numbers.quantum);
      if (slot.matches(".operand")) slot.title = `${quantity} = ${value}`;
      else slot.textContent = value;
    }
  });
}

const TAKE = {
  unit: (row) => row[unit()],
  mean: (row) => row.reduce((sum, value) => sum + value, 0) / row.length,
  min: (row) => row.reduce((a, b) => Math.min(a, b)),
  max: (row) => row.reduce((a, b) => Math.max(a, b)),
};
