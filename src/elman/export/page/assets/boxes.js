// The boxes that answers are shown in: pieces of a text, bars of probabilities.

import { percent } from "elman/numbers";
import { visible } from "elman/scene";

const BARS = 8; // labels that are listed

/** A piece of the text, which selects its step; or one of what is written, an output. */
export function chip(token, place, what = "step") {
  const made = element("span", { class: "chip", [`data-${what}`]: place });
  made.append(element("bdi", {}, visible(token)));
  return made;
}

/** A chip with its tag, which is number `at` of all; p: its probability, if that is known. */
export function tagged(made, name, at, p) {
  const tag = element("b", { class: "tag" }, visible(name));
  tag.style.setProperty("--own", `var(--series${1 + (at % 8)})`);
  tag.style.setProperty("--p", p ?? 1);
  made.append(tag);
  if (p !== undefined) made.append(element("small", {}, percent(p)));
  return made;
}

/** A chip coloured by how little it was expected. log: the natural logarithm of its probability. */
export function surprising(made, log) {
  const bits = -log / Math.LN2;
  made.style.setProperty("--share", Math.min(bits / 16, 1).toFixed(3));
  made.style.setProperty("--hue", "var(--negative)");
  made.title = `${bits.toFixed(1)} bits: p = ${percent(Math.exp(log))}`;
  return made;
}

/** The likeliest labels with their probabilities; those that are the answer are marked. */
export function bars(heading, table, title, labels, probabilities, given) {
  const order = Array.from(probabilities, (_, i) => i)
    .sort((a, b) => probabilities[b] - probabilities[a])
    .slice(0, BARS);
  heading.textContent = title;
  table.replaceChildren(
    ...order.map((i) => {
      const name = element("th", { scope: "row" });
      name.append(element("bdi", {}, visible(labels[i])));
      const bar = element("td", { class: "bar" }, percent(probabilities[i]));
      bar.style.setProperty("--p", probabilities[i]);
      const line = element("tr", given.includes(labels[i]) ? { class: "given" } : {});
      line.append(name, bar);
      return line;
    }),
  );
}

export function element(name, attributes, words = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = words;
  return made;
}
