// The model of a page: JSON and bytes, made one again.

/** The plan, with arrays as {shape, data: Float32Array} (Float64Array where it must be) and steps as functions.
    data: the JSON, parsed; bytes: of all arrays, in base64; steps: the functions, in the order of their numbers. */
export function unpack({ plan, arrays, texts }, bytes, steps) {
  const buffer = fromBase64(bytes);
  const decoded = arrays.map((row) => ({ shape: row.shape, data: decode(row, buffer) }));
  const whole = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(whole);
    if ("array" in value) return decoded[value.array];
    if ("texts" in value) return texts[value.texts];
    if ("step" in value) return steps[value.step];
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, whole(one)]));
  };
  return whole(plan);
}

function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes.buffer;
}

function decode({ type, shape, at, scales, across }, buffer) {
  const size = shape.reduce((a, b) => a * b, 1);
  const view = new DataView(buffer, at); // little-endian on every machine
  if (type === "float64") return Float64Array.from({ length: size }, (_, i) => view.getFloat64(8 * i, true));
  const numbers = new Float32Array(size);
  if (type === "float32") {
    for (let i = 0; i < size; i++) numbers[i] = view.getFloat32(4 * i, true);
  } else if (type === "bfloat16") {
    const halves = new Uint32Array(numbers.buffer);
    for (let i = 0; i < size; i++) halves[i] = view.getUint16(2 * i, true) << 16;
  } else {
    const scale = new DataView(fromBase64(scales));
    const columns = size / shape[0];
    for (let i = 0; i < size; i++) {
      const own = across ? i % columns : Math.floor(i / columns);
      numbers[i] = view.getInt8(i) * scale.getFloat32(4 * own, true);
    }
  }
  return numbers;
}
