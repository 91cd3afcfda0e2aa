// The numbers of this page: the JSON of its one data script, whose arrays are bytes in base64.

export const view = JSON.parse(document.getElementById("view").textContent);

const NAN = -32768; // in int16 arrays
const decoded = new Map();

/** Array number `index` of the page: rows, columns, at(row, column), and quantum, the resolution in which it is stored. */
export function array(index) {
  if (!decoded.has(index)) decoded.set(index, decode(view.arrays[index]));
  return decoded.get(index);
}

function decode({ shape, int16, float32, scale }) {
  const bytes = Uint8Array.from(atob(int16 ?? float32), (letter) => letter.charCodeAt(0));
  const numbers = new DataView(bytes.buffer); // little-endian on every machine
  const [rows, columns = 1] = shape;
  const read = int16 === undefined
    ? (i) => numbers.getFloat32(4 * i, true)
    : (i) => (numbers.getInt16(2 * i, true) === NAN ? NaN : numbers.getInt16(2 * i, true) * scale);
  const at = (row, column = 0) => (column < columns ? read(row * columns + column) : NaN);
  const row = (i) => Array.from({ length: columns }, (_, j) => at(i, j));
  return { rows, columns, at, row, quantum: scale ?? 0 };
}
