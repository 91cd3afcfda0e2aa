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

/** A number in three digits, as in the drawings. */
export function show(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  const text = size < 1e-4 || size >= 1e5
    ? value.toExponential(1).replace("e+", "e")
    : size < 1000 ? String(Number(value.toPrecision(3))) : value.toFixed(0);
  return text.replace(/^-/, "−");
}

/** A number with as many decimals as its array stores; four where it stores five, so that a column lines up. */
export function exact(value, quantum) {
  if (!Number.isFinite(value)) return "–";
  const kept = Math.max(0, Math.floor(-Math.log10(quantum)));
  const decimals = kept === 5 ? 4 : kept;
  const text = decimals > 7 ? value.toExponential(3) : value.toFixed(decimals);
  return text.replace(/^-/, "−");
}

export function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

export function largest(numbers) {
  return numbers.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
}
