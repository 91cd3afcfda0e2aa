// The contributions of all pairs (i, j), cut to those fewer than k steps apart, and what that loses.

import { array, view } from "elman/data";
import { percent } from "elman/numbers";
import { raster } from "elman/raster";
import { follow, selection } from "elman/selection";

export function start() {
  const words = (name) => document.querySelector(`[data-says=${name}]`);
  const kept = words("kept");
  follow(["k", "parameter"], () => {
    const { k, parameter } = selection;
    words("k").textContent = k;
    const figure = document.querySelector("#contributions figure.shown[data-parameter]");
    if (!figure) return;
    cut(figure.querySelector("svg"), k);
    const lost = array(view.lost[parameter]).at(k);
    kept.textContent = `k = ${k} keeps ${percent(1 - lost)} of the gradient of ${parameter}, ${percent(lost)} is lost.`;
    kept.style.setProperty("--kept", 1 - lost);
  });
}

/** Show only the cells of a matrix that are fewer than k columns away from their row's output. */
function cut(svg, k) {
  const { image, x, y, width, height, rows, columns } = raster(svg);
  const [w, h] = [width / columns, height / rows];
  const strips = view.outputs.map(({ step }, row) => {
    const end = step ?? columns - 1; // an output of the whole text is at its end
    const [from, to] = [Math.max(0, end - k + 1), Math.min(columns, end + k)];
    return `M${x + w * from},${y + h * row}h${w * (to - from)}v${h}h${-w * (to - from)}z`;
  });
  const id = svg.dataset.clip ?? (svg.dataset.clip = `clip-${document.querySelectorAll("clipPath").length}`);
  let clip = svg.querySelector("clipPath");
  if (!clip) {
    const make = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
    clip = make("clipPath");
    clip.id = id;
    clip.append(make("path"));
    svg.append(clip);
    image.setAttribute("clip-path", `url(#${id})`);
  }
  clip.firstChild.setAttribute("d", strips.join(""));
}
