// What the model answers, under the text: tags, labels, or what comes next.

import { bars, chip, element, surprising, tagged } from "elman/boxes";
import { percent } from "elman/numbers";
import { visible } from "elman/scene";
import { follow, selection } from "elman/selection";
import * as writing from "elman/writing";

const PAUSE = 700; // milliseconds without typing, after which the answer is said

/** What shows the answers of a model: {show(answer), start()}. box: where the text is typed; refresh: shows its answer
    again. */
export function of(model, box, refresh) {
  const kind = KINDS[model.plan.answer?.is ?? model.plan.is](model, box, refresh);
  const [heading, table] = ["bars-title", "bars"].map((id) => document.getElementById(id));
  const [row, coloured, said] = ["[data-answers]", "[data-chips=unit]", "#said"].map((at) => document.querySelector(at));
  let saying = 0;
  let now = null;
  const listed = () => kind.bars(now, selection);
  return {
    options: kind.options,
    outputs: (answer) => kind.outputs?.(answer) ?? [],
    show(answer) {
      now = answer;
      const skipped = answer.skipped ?? 0;
      const tokens = answer.tokens.slice(skipped);
      row.replaceChildren(...tokens.map((token, step) => kind.chip(answer, token, step, skipped)));
      coloured?.replaceChildren(...tokens.map((token, step) => chip(token, step)));
      clearTimeout(saying);
      saying = setTimeout(() => (said.textContent = kind.words(answer)), PAUSE);
    },
    start() {
      follow(["text", "step", "output"], () => {
        const { title, labels, probabilities, given } = listed();
        bars(heading, table, title, labels, probabilities, given);
      });
      kind.start?.();
    },
  };
}

const KINDS = {
  Tags: (model) => ({
    chip(answer, token, step) {
      const at = model.labels.indexOf(answer.tags[step]);
      return tagged(chip(token, step), answer.tags[step], at, answer.probabilities[step][at]);
    },
    bars(answer, { step }) {
      const there = step >= 0 && step < answer.tokens.length;
      return {
        title: there ? `The tags of “${visible(answer.tokens[step])}”` : "No word yet",
        labels: model.labels,
        probabilities: there ? answer.probabilities[step] : [],
        given: there ? [answer.tags[step]] : [],
      };
    },
    words: ({ tokens, tags }) => tokens.map((token, i) => `${token} ${tags[i]}`).join(", "),
  }),

  Labels: (model) => ({
    chip: (answer, token, step) => chip(token, step),
    bars: ({ labels, probabilities }) => ({
      title: labels.length ? `The text’s label: ${labels.map(visible).join(", ")}` : "No label is more likely than not",
      labels: model.labels,
      probabilities,
      given: labels,
    }),
    words: ({ labels }) => labels.join(", ") || "no label",
  }),

  Next: (model, box, refresh) => ({
    chip(answer, token, step, skipped) {
      const made = chip(token, step);
      const log = answer.logs[skipped + step - 1];
      if (log === undefined) return made;
      return surprising(made, log);
    },
    bars({ tokens, skipped }, { step }) {
      const at = skipped + step;
      const last = at === tokens.length - 1;
      return {
        title: last ? "What comes next" : `What could follow “${visible(tokens[at])}”`,
        labels: model.labels,
        probabilities: Array.from(model.nextAfter(at), Math.exp),
        given: tokens.slice(at + 1, at + 2),
      };
    },
    words({ next }) {
      const best = next.reduce((most, log, i) => (log > next[most] ? i : most), 0);
      return `next, most likely: ${visible(model.labels[best])}`;
    },
    start: () => writing.start(model, box, refresh),
  }),
};

KINDS.Rewriting = (model, box, refresh) => {
  const row = document.querySelector("[data-written]");
  const [features, beam] = ["features", "beam"].map((id) => document.getElementById(id));
  return {
    options: () => ({
      features: (features?.value ?? "").split(";").map((one) => one.trim()).filter(Boolean),
      beam: Math.max(1, Math.floor(Number(beam.value)) || 1),
    }),
    chip: (answer, token, step) => chip(token, step),
    outputs({ text, symbols, labels, probabilities, complete }) {
      document.getElementById("written").textContent = visible(text);
      const written = complete ? [...symbols, END] : symbols;
      const chances = written.map((symbol, j) => probabilities[j][labels.indexOf(symbol)]);
      row.replaceChildren(
        ...written.map((symbol, j) => {
          const made = chip(symbol, j, "output");
          made.append(element("small", {}, percent(chances[j])));
          return made;
        }),
      );
      return written.map((target, j) => ({ step: null, target, loss: -Math.log(chances[j]), top: [] }));
    },
    bars({ symbols, labels, probabilities }, { output }) {
      const symbol = symbols[output] ?? END;
      return {
        title: `What could stand where “${visible(symbol)}” is written`,
        labels,
        probabilities: probabilities[output] ?? [],
        given: [symbol],
      };
    },
    words: ({ text }) => text,
    start() {
      for (const control of [features, beam]) control?.addEventListener("input", refresh);
    },
  };
};

const END = "</s>";
