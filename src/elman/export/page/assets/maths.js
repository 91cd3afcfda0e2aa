// The functions that steps of cells are written in, on numbers. Each is what torch's operation of this name computes.

export const {
  abs, min, max, floor, ceil, trunc, tanh, exp, expm1, log, log2, log10, log1p, sqrt, sin, cos, tan, asin, acos,
  atan, atan2, sinh, cosh, asinh, acosh, atanh, hypot,
} = Math;

export function sign(x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

export function sigmoid(x) {
  return 1 / (1 + exp(-x));
}

export function exp2(x) {
  return 2 ** x;
}

/** x to the power of y; unlike in JavaScript, 1 to any power is 1, and (−1)^∞ too. */
export function power(x, y) {
  return x === 1 || (x === -1 && abs(y) === Infinity) ? 1 : x ** y;
}

/** To the nearest whole number, ties to the even one. */
export function roundEven(x) {
  const below = floor(x);
  const rest = x - below;
  if (!(rest >= 0.5)) return rest >= 0 ? below : x;
  return rest > 0.5 || below % 2 !== 0 ? below + 1 : below;
}

/** The rest of a division, with the divisor's sign. */
export function remainder(x, y) {
  const rest = x % y;
  return rest !== 0 && y < 0 !== rest < 0 ? rest + y : rest;
}

/** The whole number that belongs to that rest: also where floor(x / y) would be off by one. */
export function floorDivide(x, y) {
  if (y === 0) return x / y;
  const rest = x % y;
  let quotient = (x - rest) / y;
  if (rest !== 0 && y < 0 !== rest < 0) quotient -= 1;
  const whole = floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

const ROOT = 2 / sqrt(Math.PI);

/** A series of positive terms up to 3; beyond, 1 − erfc. */
export function erf(x) {
  const size = abs(x);
  if (size > 3) return sign(x) * (1 - tail(size));
  let term = x;
  let sum = x;
  for (let n = 1; abs(term) > 1e-17 * abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return ROOT * exp(-x * x) * sum;
}

export function erfc(x) {
  return x > 3 ? tail(x) : x < -3 ? 2 - tail(-x) : 1 - erf(x);
}

/** erfc above 3, by its continued fraction. */
function tail(x) {
  if (x > 30) return 0;
  let fraction = 0;
  for (let n = 40; n > 0; n--) fraction = n / 2 / (x + fraction);
  return (ROOT / 2) * exp(-x * x) / (x + fraction);
}
