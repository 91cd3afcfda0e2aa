// The best sequence of labels, and how likely each label is at each step. Scores are rows (steps, labels), float64.

/** As Python's viterbi: between equal paths the lowest label wins, from the last step to the first. */
export function bestPath({ start, transitions, end }, rows) {
  const labels = start.data.length;
  const alphas = [];
  rows.forEach((row, t) => {
    const alpha = new Float64Array(labels);
    for (let to = 0; to < labels; to++) {
      if (t === 0) alpha[to] = start.data[to] + row[to];
      else alpha[to] = highest(labels, (from) => alphas[t - 1][from] + transitions.data[from * labels + to])[0] + row[to];
    }
    alphas.push(alpha);
  });
  const path = [];
  for (let t = rows.length - 1; t >= 0; t--) {
    const after = path[0];
    const scoreOf = after === undefined
      ? (label) => alphas[t][label] + end.data[label]
      : (label) => alphas[t][label] + transitions.data[label * labels + after];
    path.unshift(highest(labels, scoreOf)[1]);
  }
  return path;
}

/** p(label | all rows) at each step of a CRF, by the forward-backward algorithm. */
export function marginals({ start, transitions, end }, rows) {
  const labels = start.data.length;
  const each = Array.from({ length: labels }, (_, i) => i);
  const link = (from, to) => transitions.data[from * labels + to];
  const ahead = [];
  const back = [];
  rows.forEach((row, t) => {
    ahead.push(each.map((to) => row[to] + (t ? logSum(each.map((from) => ahead[t - 1][from] + link(from, to))) : start.data[to])));
  });
  for (let t = rows.length - 1; t >= 0; t--) {
    const next = back[0];
    back.unshift(each.map((from) => (next ? logSum(each.map((to) => link(from, to) + rows[t + 1][to] + next[to])) : end.data[from])));
  }
  return rows.map((_, t) => {
    const both = each.map((label) => ahead[t][label] + back[t][label]);
    const all = logSum(both);
    return both.map((one) => Math.exp(one - all));
  });
}

/** [value, index] of the highest of count values, the first of equal ones. */
function highest(count, valueOf) {
  let [most, at] = [valueOf(0), 0];
  for (let i = 1; i < count; i++) {
    const value = valueOf(i);
    if (value > most) [most, at] = [value, i];
  }
  return [most, at];
}

function logSum(values) {
  const most = Math.max(...values);
  if (most === -Infinity) return most;
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
