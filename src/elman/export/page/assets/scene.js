// Drawings as in figures/marks.py: the same marks, from JavaScript.

import { palette } from "elman/data";

const BASELINE = 0.35; // of a text's size, from its middle down to its baseline
const SPACE = "http://www.w3.org/2000/svg";

/** Put marks into an svg, in place of those it has. words: one sentence for those who cannot see it. */
export function draw(svg, width, height, title, words, marks) {
  svg.setAttribute("viewBox", `0 0 ${short(width)} ${short(height)}`);
  svg.setAttribute("width", short(width));
  svg.setAttribute("height", short(height));
  svg.setAttribute("aria-label", title);
  const paper = element("rect", { width: short(width), height: short(height), fill: "var(--paper)", class: "paper" });
  svg.replaceChildren(element("title", {}, title), element("desc", {}, words), paper, ...marks);
}

/** A line of text around y. data: data-* attributes. */
export function text(x, y, words, { fill = "ink", size = 12, anchor, bold, rotate, data = {}, title } = {}) {
  const mark = element("text", { x: short(x), y: short(y + BASELINE * size), "font-size": short(size) });
  if (bold) mark.setAttribute("font-weight", "bold");
  if (anchor) mark.setAttribute("text-anchor", anchor);
  if (rotate) mark.setAttribute("transform", `rotate(${short(rotate)} ${short(x)} ${short(y)})`);
  mark.setAttribute("fill", `var(--${fill})`);
  return finished(mark, data, title, words);
}

export function rect(x, y, w, h, stroke) {
  return element("rect", { ...box(x, y, w, h), fill: "none", stroke: `var(--${stroke})`, "stroke-width": "1" });
}

export function line(from, to, stroke, width) {
  const d = `M${from.map(short)} L${to.map(short)}`;
  return element("path", { d, fill: "none", stroke: `var(--${stroke})`, "stroke-width": short(width), "stroke-linejoin": "round" });
}

/** Cells of one image: shareOf(row, column) from −1 to 1, whose sign is the hue and whose size the opacity. */
export function raster(x, y, w, h, rows, columns, shareOf, { data = {}, title } = {}) {
  const look = { preserveAspectRatio: "none", "image-rendering": "pixelated", href: picture(rows, columns, shareOf) };
  return finished(element("image", { ...box(x, y, w, h), ...look }), data, title);
}

const canvas = document.createElement("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });

/** The cells as the address of a picture. */
function picture(rows, columns, shareOf) {
  [canvas.width, canvas.height] = [columns, rows];
  const image = context.createImageData(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const share = shareOf(i, j);
      const size = Number.isFinite(share) ? Math.min(Math.abs(share), 1) : 0;
      const at = 4 * (i * columns + j);
      image.data.set(share < 0 ? palette.negative : palette.positive, at);
      image.data[at + 3] = Math.round(255 * size);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** The scale of a raster: a bar with its numbers, from x, around y. */
export function legend(x, y, low, high, signed) {
  const left = x + width(low, 11) + 6;
  const shareOf = (_, j) => (signed ? (2 * j) / 119 - 1 : j / 119);
  return [
    text(left - 6, y, low, { fill: "muted", size: 11, anchor: "end" }),
    raster(left, y - 5, 120, 10, 1, 120, shareOf),
    text(left + 126, y, high, { fill: "muted", size: 11 }),
  ];
}

/** A length, rounded to a hundredth, as short as possible. */
export function short(value) {
  const words = value.toFixed(2).replace(/\.?0+$/, "");
  return words === "-0" ? "0" : words;
}

function box(x, y, w, h) {
  return { x: short(x), y: short(y), width: short(w), height: short(h) };
}

function element(name, attributes, words) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

function finished(mark, data, title, words = "") {
  for (const [key, value] of Object.entries(data)) mark.dataset[key] = value;
  if (title) mark.append(element("title", {}, title));
  mark.append(words);
  return mark;
}

// Text, as in figures/wording.py

const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A token as it is drawn, on one line: newline is ↵, tab ⇥, a lone space ␣, and the empty token ∅. */
export function visible(token) {
  const shown = clean(token).replaceAll("\n", "↵").replaceAll("\t", "⇥");
  return shown && !shown.trim() ? shown.replaceAll(" ", "␣") : shown || "∅";
}

/** The text with control characters as escapes. */
export function clean(token) {
  return token.replace(CONTROL, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** About how wide a line of text is: a guess, as fonts differ, rather too wide. */
export function width(words, size, bold) {
  let em = 0;
  for (const c of words) em += emOf(c);
  return em * size * (bold ? 1.08 : 1);
}

const NOTHING = /[\p{Mn}\p{Me}\p{Cf}]/u;
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

function emOf(c) {
  if (c >= " " && c <= "~") return " .,:;'`|!ijlIftr()[]{}".includes(c) ? 0.4 : "mwMW@%".includes(c) ? 1 : c >= "A" && c <= "Z" ? 0.7 : 0.62;
  if (NOTHING.test(c)) return 0;
  return WIDE.test(c) || c === "—" || c === "…" ? 1 : /\p{Lu}/u.test(c) ? 0.7 : 0.62;
}

/** The token on one line in this width, cut where it does not fit; one character is always kept. */
export function fit(token, room, size) {
  const words = visible(token);
  if (width(words, size) <= room) return words;
  const letters = [...words];
  let kept = letters[0];
  for (const letter of letters.slice(1)) {
    if (width(`${kept}${letter}…`, size) > room) break;
    kept += letter;
  }
  return `${kept}…`;
}
