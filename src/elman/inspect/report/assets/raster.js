// Drawings whose cells are one image: where a step or a row is in it, and which cell is under the pointer.

import { view } from "elman/data";
import { shown } from "elman/selection";

/** What the rows of a drawing are: units of a heat map, outputs of a matrix; null for other drawings. */
export function rowsOf(svg) {
  const { what, matrix } = svg.closest("figure").dataset;
  return what ? "unit" : matrix ? "output" : null;
}

/** The image of a drawing, with its number of rows and columns; null without one, or without a text. */
export function raster(svg) {
  const image = rowsOf(svg) && view.tokens.length && svg.querySelector("image");
  if (!image) return null;
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(image.getAttribute(name)));
  const rows = rowsOf(svg) === "unit" ? shown().columns : view.outputs.length;
  return { image, x, y, width, height, rows, columns: view.tokens.length };
}

/** {row, column} under the pointer, or null outside the image. */
export function cellAt(svg, event) {
  const box = raster(svg);
  if (!box) return null;
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const column = Math.floor(((x - box.x) / box.width) * box.columns);
  const row = Math.floor(((y - box.y) / box.height) * box.rows);
  return column >= 0 && column < box.columns && row >= 0 && row < box.rows ? { row, column } : null;
}

/** [x, width] of a step in a drawing: of the image's column, or of the boxes with this step; null without any. */
export function columnOf(svg, step) {
  const box = raster(svg);
  if (box) return [box.x + (box.width * step) / box.columns, box.width / box.columns];
  const bounds = [...svg.querySelectorAll(`rect[data-step="${step}"], circle[data-step="${step}"]`)]
    .map((mark) => mark.getBBox());
  if (!bounds.length) return null;
  const left = Math.min(...bounds.map((b) => b.x));
  return [left, Math.max(...bounds.map((b) => b.x + b.width)) - left];
}

/** Move the rectangle of this class to `place`, or remove it when that is null. place: [x, y, width, height]. */
export function outline(svg, name, place) {
  let rect = svg.querySelector(`rect.${name}`);
  if (!place) return rect?.remove();
  if (!rect) {
    rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("class", name);
    svg.append(rect);
  }
  ["x", "y", "width", "height"].forEach((key, i) => rect.setAttribute(key, place[i]));
}
