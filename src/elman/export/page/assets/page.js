// The page of a model: what is typed is answered, and shown from the inside.

import * as alignment from "elman/alignment";
import * as answers from "elman/answers";
import * as choice from "elman/choice";
import * as colours from "elman/colours";
import * as controls from "elman/controls";
import { functions, show, view } from "elman/data";
import * as equation from "elman/equation";
import * as heat from "elman/heat";
import * as marks from "elman/marks";
import { modelOf } from "elman/model";
import { unpack } from "elman/payload";
import * as pointer from "elman/pointer";
import * as readout from "elman/readout";
import { visible } from "elman/scene";
import { select, selection } from "elman/selection";
import * as theme from "elman/theme";

const SLOW = 60; // milliseconds; what takes longer waits for a pause in typing

/** Start the page. steps: the equations as functions. */
export function start(steps) {
  const read = (id) => document.getElementById(id).textContent;
  const data = JSON.parse(read("model"));
  const model = modelOf(unpack(data, read("bytes"), steps), data.letters);
  const box = document.getElementById("typed");
  const row = document.querySelector("[data-answers]");
  const refused = document.getElementById("refused");
  let aligned = null;
  const answered = answers.of(model, box, refresh);
  document.documentElement.classList.add("live");

  function refresh() {
    const records = [];
    let answer;
    try {
      answer = model.answer(box.value, { ...answered.options?.(), records });
      refused.textContent = "";
    } catch (problem) {
      if (!(problem instanceof RangeError)) throw problem;
      refused.textContent = problem.message;
      return;
    }
    const tokens = answer.tokens.slice(answer.skipped ?? 0);
    show(tokens, answered.outputs(answer), records);
    answered.show(answer);
    aligned = answer.alignment;
    select({ text: selection.text + 1, step: tokens.length - 1, output: 0, over: null });
    row.dataset.text = box.value; // what is shown
  }

  let waiting = 0;
  let last = 0; // what the last answer took
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const began = performance.now();
      refresh();
      last = performance.now() - began;
    }, last > SLOW ? 4 * last : 0);
  });
  refresh();
  const shown = view.places.length ? [choice, controls, heat, marks, equation, colours, readout] : [marks];
  if (document.getElementById("alignment")) alignment.start(() => aligned);
  for (const part of [...shown, pointer, theme]) part.start();
  answered.start();
  // for other scripts
  document.addEventListener("click", again, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.(".chips, .drawing")) open();
  });
  globalThis.elman = { model, functions, answer: (text) => model.answer(text) };
}

/** A click on a step selects it, and its numbers are shown; a second one goes where they are. */
function again(event) {
  const before = selection.step;
  const mark = event.target.closest("[data-step], #states image");
  if (mark) setTimeout(() => selection.step === before && clicked === before ? open() : (clicked = selection.step), 0);
}

let clicked = null;

function open() {
  const panel = document.getElementById("equation");
  panel?.scrollIntoView({ block: "nearest" });
  panel?.querySelector("input")?.focus({ preventScroll: true });
}
