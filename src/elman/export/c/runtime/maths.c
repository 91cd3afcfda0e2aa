//@ clamp
// NaN becomes `low`
static inline float clamp(float x, float low, float high) {
  x = x > low ? x : low;
  return x < high ? x : high;
}

//@ fast_exp
static inline float power_of_two(int32_t n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

// e^x = 2^n e^r with n whole and |r| < log(2) / 2, by a polynomial, within 2e-7 of it. 0 for NaN.
static inline float fast_exp(float x) {
  const float c = clamp(x, -104.0f, 89.0f);
  const float n = (c * 1.44269504f + 12582912.0f) - 12582912.0f;  // adding 1.5 * 2^23 rounds
  const float r = c - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 0.00138146f;
  p = p * r + 0.00836872f;
  p = p * r + 0.04166839f;
  p = p * r + 0.16666521f;
  p = p * r + 0.49999993f;
  const int32_t whole = (int32_t)n, half = whole / 2;
  // in two factors, so that the ends of the range are right
  return (p * (r * r) + r + 1.0f) * power_of_two(half) * power_of_two(whole - half);
}

//@ sigmoid
static inline float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

//@ fast_tanh
// c P(c^2) / Q(c^2) on [-9, 9], fitted to relative error; beyond, 1 to the precision of float
static inline float fast_tanh(float x) {
  const float c = clamp(x, -9.0f, 9.0f), u = c * c;
  float p = -1.2246216143098476e-11f;
  p = p * u + 3.0642484613265525e-08f;
  p = p * u + 2.8031291993217043e-05f;
  p = p * u + 0.0038695070208263956f;
  p = p * u + 0.1368085565500676f;
  p = p * u + 0.9999999987228313f;
  float q = 1.2890338044690124e-06f;
  q = q * u + 0.0003940711692955723f;
  q = q * u + 0.02725015302253172f;
  q = q * u + 0.4701418774467789f;
  q = q * u + 1.0f;
  return clamp(c * p / q, -1.0f, 1.0f);
}

//@ minimum
static inline float minimum(float a, float b) { return a < b || isnan(a) ? a : b; }

//@ maximum
static inline float maximum(float a, float b) { return a > b || isnan(a) ? a : b; }

//@ sign
static inline float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }

//@ modulo
// With the sign of the divisor.
static inline float modulo(float a, float b) {
  const float rest = fmodf(a, b);
  return rest != 0.0f && (b < 0.0f) != (rest < 0.0f) ? rest + b : rest;
}

//@ floor_divide
// Exact where the quotient is near a whole number, which floor(a / b) is not.
static inline float floor_divide(float a, float b) {
  if (b == 0.0f) return a / b;
  const float rest = fmodf(a, b);
  float quotient = (a - rest) / b;
  if (rest != 0.0f && (b < 0.0f) != (rest < 0.0f)) quotient -= 1.0f;
  if (quotient == 0.0f) return copysignf(0.0f, a / b);
  const float whole = floorf(quotient);
  return quotient - whole > 0.5f ? whole + 1.0f : whole;
}
