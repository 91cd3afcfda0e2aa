// The line at the bottom of the window, and the line above the outputs: what is selected, in words and numbers.

import { array, view } from "elman/data";
import { exact, percent, show } from "elman/numbers";
import { follow, selection, shown, unit } from "elman/selection";

export function start() {
  const readout = document.getElementById("readout");
  const answer = document.querySelector("[data-says=output]");
  follow(Object.keys(selection), () => {
    const { output: j, parameter, place } = selection;
    const step = selection.over ?? selection.step;
    const { name, gradient } = view.places[place];
    const numbers = shown();
    const what = selection.what.replace(/^\w+ /, "");
    if (step < 0) return (readout.textContent = "");
    const parts = [
      `step ${step} “${view.tokens[step]}”`,
      `${name}, unit ${unit()}: ${what} = ${exact(numbers.at(step, unit()), numbers.quantum)}`,
    ];
    if (gradient !== undefined) parts.push(`‖∂L/∂s‖ from output ${j}: ${show(array(gradient).at(j, step))}`);
    if (parameter !== null) parts.push(`${parameter}: ${show(array(view.contributions[parameter]).at(j, step))}`);
    readout.textContent = parts.join(" · ");
  });
  if (!answer) return;
  follow(["output"], () => {
    const { step, target, loss, top } = view.outputs[selection.output];
    const where = step === null ? "" : `, at “${view.tokens[step]}”`;
    const whose = view.outputs.length === 1 && !where ? "The one output" : `Output ${selection.output}${where}`;
    const likeliest = top.map(([label, p]) => `${label} ${percent(p)}`).join(", ");
    answer.textContent = `${whose}: target ${target}, loss ${show(loss)} nats. Most likely: ${likeliest}.`;
  });
}
