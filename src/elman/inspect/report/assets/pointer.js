// What the pointer and the keys do in drawings and tables: show a step, select cells, units and outputs.

import { view } from "elman/data";
import { cellAt, rowsOf } from "elman/raster";
import { select, selection, unit } from "elman/selection";

export function start() {
  document.addEventListener("pointermove", (event) => select({ over: pointed(event)?.step ?? null }));
  document.documentElement.addEventListener("pointerleave", () => select({ over: null }));
  document.addEventListener("click", (event) => {
    const target = pointed(event);
    if (target) select(target);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = event.target.closest("svg [role=button]");
    if (button && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      select(named(button));
    } else if (moved(event)) {
      event.preventDefault();
      if (button) button.closest("svg").querySelector(`.chosen[tabindex="0"]${kind(button)}`)?.focus();
    }
  });
}

/** {step, place, unit, output}, as far as what is under the pointer has them; null if it has none. */
function pointed(event) {
  if (!(event.target instanceof Element)) return null;
  const svg = event.target.closest("figure svg");
  const cell = svg && cellAt(svg, event);
  if (cell) return { step: cell.column, [rowsOf(svg)]: cell.row };
  const mark = event.target.closest("[data-step], [data-output], svg [data-place]");
  return mark && named(mark);
}

function named({ dataset }) {
  const target = {};
  for (const key of ["step", "output"]) if (key in dataset) target[key] = Number(dataset[key]);
  if ("place" in dataset) target.place = view.places.findIndex((place) => place.name === dataset.place);
  return target;
}

/** Arrow keys: left and right along the text, up and down among the rows. Returns whether the key was handled. */
function moved({ key, target }) {
  const box = target.closest(".drawing, .chips");
  if (!box) return false;
  const along = { ArrowLeft: -1, ArrowRight: 1 }[key];
  const down = { ArrowUp: -1, ArrowDown: 1 }[key];
  const svg = box.querySelector("svg");
  const unrolled = box.closest("[data-view=unrolled]");
  if (along && target.matches("[data-output]:not([data-place])")) select({ output: selection.output + along });
  else if (along && !svg && box.querySelector("[data-output]")) select({ output: selection.output + along });
  else if (along && box.querySelector("[data-step]")) select({ step: selection.step + along });
  else if (down && unrolled) select({ place: selection.place - down });
  else if (down && (box.matches(".chips") || (svg && rowsOf(svg) === "unit"))) select({ unit: unit() + down });
  else if (down && svg && rowsOf(svg) === "output") select({ output: selection.output + down });
  else return false;
  return true;
}

function kind(button) {
  return "place" in button.dataset ? "[data-place]" : "[data-output]:not([data-place])";
}
