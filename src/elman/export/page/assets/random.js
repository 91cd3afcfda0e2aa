// numpy's default_rng(seed).random(): PCG64 (O'Neill 2014), seeded by numpy's SeedSequence.

const WIDE = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** A function that gives the next number from 0 to 1. seed: a whole number of 0 or more. */
export function generator(seed) {
  const [high, low, streamHigh, streamLow] = seeded(BigInt(seed));
  const increment = (((streamHigh << 64n) | streamLow) << 1n) | 1n;
  let state = 0n;
  const step = () => (state = (state * MULTIPLIER + increment) & WIDE);
  step();
  state = (state + ((high << 64n) | low)) & WIDE;
  step();
  return () => {
    step();
    const mixed = ((state >> 64n) ^ state) & 0xffffffffffffffffn;
    const turn = state >> 122n;
    const value = ((mixed >> turn) | (mixed << (64n - turn))) & 0xffffffffffffffffn;
    return Number(value >> 11n) / 2 ** 53;
  };
}

/** Four words of 64 bits. */
function seeded(seed) {
  const entropy = [];
  do {
    entropy.push(Number(seed & 0xffffffffn));
    seed >>= 32n;
  } while (seed > 0n);
  let constant = 0x43b0d7e5;
  const hash = (value) => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (a, b) => {
    const value = Math.imul(0xca01f9dd, a) - Math.imul(0x4973f715, b);
    return value ^ (value >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (const more of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], hash(more));
  constant = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, i) => {
    let value = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((i) => words[i] | (words[i + 1] << 32n));
}
