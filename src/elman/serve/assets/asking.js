// How each model is asked about a text, and what its answer is shown as: {chips, written, title, labels, probabilities,
// given, words}. Through a session where it has them, otherwise by requests of their own.

import { bars, chip, element, surprising, tagged } from "elman/boxes";
import { Following } from "elman/following";
import { percent } from "elman/numbers";
import { visible } from "elman/scene";
import { ask, whole } from "elman/server";

const BEST = 5; // answers of an encoder-decoder

/** {answer(text, {current, signal, options}), close(), forget(), follows}; an answer nobody waits for any more is null. */
export function of(model) {
  const path = `v1/models/${model.name}`;
  const kind = KINDS[model.task];
  if (model.sessions) {
    const following = new Following(path, model.task === "lm");
    return {
      follows: true,
      close: () => following.close(),
      forget: () => following.forget(),
      async answer(text, { current }) {
        const found = await following.answer(text, current);
        return found && kind.followed(found);
      },
    };
  }
  return {
    follows: false,
    close: () => {},
    forget: () => {},
    async answer(text, { current, signal, options }) {
      if (!text.trim()) return current() ? {} : null;
      const reply = await ask("POST", `${path}/${kind.operation}`, { body: kind.body(text, options), signal });
      const { answer } = await whole(reply, signal);
      return current() ? kind.answered(answer) : null;
    },
  };
}

/** What is sent to be looked into: the text, of a language model its last line. */
export function inspected(model, text, options) {
  if (model.task === "lm") return text.trimEnd().split("\n").at(-1);
  return model.task === "seq2seq" ? source(text, options) : text;
}

/** Put an answer into its boxes. */
export function show({ chips = [], written = "", title = "", labels = [], probabilities = [], given = [] }, boxes) {
  boxes.answers.replaceChildren(...chips);
  boxes.written.textContent = visible(written || " ").trim();
  boxes.written.parentElement.hidden = !written;
  bars(boxes.title, boxes.bars, title, labels, probabilities, given);
}

const KINDS = {
  tag: {
    operation: "predict",
    body: (text) => ({ text, probabilities: true }),
    answered: ({ words, tags, probabilities }) => tagging(words, tags, probabilities),
    followed({ certain, last }) {
      const words = [...certain.flatMap((one) => one.read ?? []), ...(last.read ?? [])];
      const known = certain.flatMap((one) => one.tags);
      return tagging(words, [...known, ...last.tags], [], known.length);
    },
  },
  classify: {
    operation: "predict",
    body: (text) => ({ text, probabilities: true }),
    answered: labelled,
    followed: ({ last }) => labelled(last),
  },
  lm: {
    operation: "score",
    body: (text) => ({ text }),
    answered({ tokens, log_probabilities: logs }) {
      return { chips: tokens.map((token, i) => surprising(chip(token, i), logs[i])), words: "" };
    },
    followed({ certain, last }) {
      const all = [...certain, last].filter((one) => one.read);
      const logs = all.flatMap((one) => one.log_probabilities);
      return {
        chips: all.flatMap((one) => one.read).map((token, i) => surprising(chip(token, i), logs[i])),
        title: "What comes next",
        labels: last.next.map(({ token }) => token),
        probabilities: last.next.map((one) => Math.exp(one.log_probability)),
        words: `next, most likely: ${visible(last.next[0]?.token ?? "")}`,
      };
    },
  },
  seq2seq: {
    operation: "translate",
    body: (text, options) => ({ text: source(text, options), nbest: BEST, beam: Math.max(BEST, options.beam) }),
    answered({ answers }) {
      return {
        written: answers[0]?.text ?? "",
        title: answers.length > 1 ? "The best answers" : "",
        labels: answers.map(({ text }) => text),
        probabilities: answers.map((one) => Math.exp(one.log_probability)),
        given: answers.slice(0, 1).map(({ text }) => text),
        words: answers[0]?.text ?? "",
      };
    },
  },
};

function source(text, { features = "" } = {}) {
  return { text, features: features.split(";").map((one) => one.trim()).filter(Boolean) };
}

/** known: how many tags no further word can change. */
function tagging(words, tags, probabilities, known = tags.length) {
  const chips = words.map((word, i) => {
    const made = tagged(chip(word, i), tags[i] ?? "…", colour(tags[i] ?? ""), probabilities?.[i]);
    if (i >= known) made.classList.add("open");
    return made;
  });
  return { chips, words: words.map((word, i) => `${word} ${tags[i]}`).join(", ") };
}

function labelled({ labels, chances, label_probabilities: every }) {
  return {
    title: labels.length ? `The text’s label: ${labels.map(visible).join(", ")}` : "No label is more likely than not",
    labels: Object.keys(every),
    probabilities: Object.values(every),
    given: labels,
    words: labels.map((label, i) => `${label} ${percent(chances[i])}`).join(", ") || "no label",
  };
}

/** A number for the name of a tag, the same in both columns. */
function colour(name) {
  return [...name].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) % 1009, 7);
}
