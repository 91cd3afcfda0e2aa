// Numbers as people read them.

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
