// Lists, numbers and sliders with data-bind="key" show that key of the selection and change it.

import { view } from "elman/data";
import { follow, select, selection, unit, units } from "elman/selection";

const numbers = new Set(["place", "step", "unit", "output", "k"]);

export function start() {
  const bound = [...document.querySelectorAll("[data-bind]")];
  for (const control of bound) {
    const key = control.dataset.bind;
    control.addEventListener("input", () => {
      if (control.value !== "") select({ [key]: numbers.has(key) ? Number(control.value) : control.value });
    });
    control.addEventListener("change", () => show(control)); // correct what was out of bounds
  }
  document.getElementById("largest")?.addEventListener("click", () => select({ unit: null }));
  const typing = (control) => control.type === "number" && control === document.activeElement;
  follow([...numbers, "what", "parameter", "text"], () => bound.filter((control) => !typing(control)).forEach(show));
}

function show(control) {
  const key = control.dataset.bind;
  if (key === "step") control.max = view.tokens.length - 1;
  if (key === "unit") control.max = units(selection.place) - 1;
  control.value = key === "unit" ? unit() : selection[key];
}
