// From a text to tokens, and the forms of tokens, as in Python: what characters are is in the page, not in the browser.

/** split(text) gives the tokens of a text, join(tokens) a text; lower(text) is in lower case, shape(token) its outline.
    letters: what it needs to know about characters; without, it can only join. */
export class Text {
  constructor({ tokenizer, lowercase, longest }, letters) {
    Object.assign(this, { kind: tokenizer.kind, lowercase, longest });
    if (letters) this.cut = SPLIT[tokenizer.kind](letters, tokenizer);
    if (letters?.lower) this.lower = lowerCase(letters.lower);
    if (letters?.upper) this.shape = outline(letters);
    if (tokenizer.kind === "subwords") this.bytes = bytesOf();
  }

  split(text) {
    return this.cut(this.lowercase ? this.lower(text) : text);
  }

  /** Tokens as a text that reads well. */
  join(tokens) {
    if (this.kind === "characters") return tokens.join("");
    if (this.kind !== "subwords") return tokens.join(" ");
    const bytes = tokens.flatMap((token) => [...token].map((letter) => this.bytes.indexOf(letter)));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }
}

const SPLIT = {
  space: ({ space }) => {
    const run = new RegExp(`[^${space}]+`, "gu");
    return (text) => text.match(run) ?? [];
  },
  words: ({ words }) => {
    const run = new RegExp(words.pattern.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => words[name]), "gu");
    return (text) => text.match(run) ?? [];
  },
  characters: () => (text) => [...text],
  subwords: ({ pieces }, { tokenizer }) => subwords(new RegExp(pieces, "gu"), tokenizer.model),
};

/** Byte-pair encoding: of a piece, the pair that was learned first is joined, the leftmost of equal ones, and so on. */
function subwords(pieces, { merges }) {
  const ranks = new Map(merges.map((pair, rank) => [pair.join(" "), rank]));
  const known = new Map();
  const letters = bytesOf();
  const bytes = new TextEncoder();
  const encode = (piece) => {
    const parts = Array.from(bytes.encode(piece), (byte) => letters[byte]);
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  };
  return (text) =>
    (text.match(pieces) ?? []).flatMap((piece) => {
      if (known.size > 10_000) known.clear();
      if (!known.has(piece)) known.set(piece, encode(piece));
      return known.get(piece);
    });
}

/** The printable letter of each byte, as GPT-2 has them. */
function bytesOf() {
  const letters = [];
  let more = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    letters.push(String.fromCodePoint(printable ? byte : more++));
  }
  return letters;
}

/** Lower case; a capital sigma after a letter and before none is ς. */
function lowerCase({ from, to, cased, ignorable }) {
  const table = new Map([...from].map((letter, i) => [letter, to[i]]));
  const [isCased, isIgnorable] = [cased, ignorable].map((ranges) => new RegExp(`[${ranges}]`, "u"));
  const plain = /^[ -@[-~]*$/;
  const known = new Map();
  const beside = (letters, at, way) => {
    let i = at + way;
    while (i >= 0 && i < letters.length && isIgnorable.test(letters[i])) i += way;
    return i >= 0 && i < letters.length && isCased.test(letters[i]);
  };
  const lower = (text) => {
    const letters = [...text];
    return letters
      .map((letter, i) => {
        if (letter === "Σ") return beside(letters, i, -1) && !beside(letters, i, 1) ? "ς" : "σ";
        return table.get(letter) ?? letter;
      })
      .join("");
  };
  return (text) => {
    if (plain.test(text)) return text;
    if (known.size > 10_000) known.clear();
    if (!known.has(text)) known.set(text, lower(text));
    return known.get(text);
  };
}

/** X for capitals, x for other letters, d for digits; runs are cut to two. */
function outline({ upper, alpha, digit }) {
  const kinds = Object.entries({ X: upper, x: alpha, d: digit }).map(([kind, ranges]) => [kind, new RegExp(`[${ranges}]`, "u")]);
  const known = new Map();
  const kindOf = (letter) => {
    if (!known.has(letter)) known.set(letter, kinds.find(([, is]) => is.test(letter))?.[0] ?? letter);
    return known.get(letter);
  };
  return (token) => {
    const found = [...token].map(kindOf);
    return found.filter((kind, i) => i < 2 || kind !== found[i - 1] || kind !== found[i - 2]).join("");
  };
}

/** Every n-gram of 1 to `order` tokens once. edges: in lower case, with the text's beginning and end. */
export function ngrams(tokens, order, lower) {
  const row = lower ? ["<s>", ...tokens.map(lower), "</s>"] : tokens;
  const found = new Set();
  for (let n = 1; n <= order; n++) {
    for (let i = 0; i + n <= row.length; i++) found.add(row.slice(i, i + n).join(" "));
  }
  return found;
}
