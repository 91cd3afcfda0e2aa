// What the report's scripts show, while a text is typed: the same names as in a report, with numbers that change.

const { places, functions, palette } = JSON.parse(document.getElementById("view").textContent);

export { functions, palette };

let records = [];

// A place is one direction of one layer.
export const view = {
  tokens: [],
  outputs: [],
  contributions: {},
  places: places.map(({ name, step, hidden }, k) => {
    const { quantities, states, gates } = functions[step];
    const live = (named) =>
      Object.fromEntries(Object.entries(named).map(([key, where]) => [key, numbers(k, where, hidden)]));
    return { name, quantities: live(quantities), states: live(states), gates: live(gates) };
  }),
};

/** As in a report, where an array has a number. */
export function array(numbers) {
  return numbers;
}

/** From now on the view shows this text: its tokens, and what happened in each place. */
export function show(tokens, outputs, happened) {
  view.tokens = tokens;
  view.outputs = outputs;
  records = happened;
}

/** Rows are steps; at(row, column) is not a number where there is no text. */
function numbers(place, where, columns) {
  const of = () => records[place]?.of(where);
  const inside = (row, column) => row >= 0 && row < view.tokens.length && column < columns;
  const at = (row, column = 0) => (inside(row, column) && of() ? of().at(row, column) : NaN);
  const row = (i) => Array.from({ length: columns }, (_, j) => at(i, j));
  return { columns, at, row, quantum: 1e-4 };
}
