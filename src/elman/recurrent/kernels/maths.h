// Vectors of units and the functions of them used by derived cells. REAL is float or double.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <sched.h>

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

// ---- Vectors ---------------------------------------------------------------------------------------------------

#if defined(__AVX512F__)
constexpr int BYTES = 64, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int BYTES = 32, REGISTERS = 16;
#else
constexpr int BYTES = 16, REGISTERS = 32;  // NEON has 32; SSE has 16 and spills a little
#endif

using real = REAL;
using word = std::conditional<sizeof(real) == 4, int32_t, int64_t>::type;
constexpr int LANES = BYTES / sizeof(real);
typedef real V __attribute__((vector_size(BYTES)));
typedef real Loose __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));  // at any address
typedef word I __attribute__((vector_size(BYTES)));  // the result of a comparison: 0 or -1 per lane

INLINE V all(real value) { return V{} + value; }

// `lanes` < LANES only in the last vector of a row, where the units end
INLINE V load(const real* p, int lanes) {
  if (__builtin_expect(lanes == LANES, 1)) return *reinterpret_cast<const Loose*>(p);
#if defined(__AVX512F__)
  if constexpr (sizeof(real) == 4) return (V)_mm512_maskz_loadu_ps((1u << lanes) - 1, p);
#endif
  V v{};
  for (int i = 0; i < lanes; i++) v[i] = p[i];
  return v;
}

INLINE void store(real* p, V v, int lanes) {
  if (__builtin_expect(lanes == LANES, 1)) {
    *reinterpret_cast<Loose*>(p) = v;
    return;
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(real) == 4) {
    _mm512_mask_storeu_ps(p, (1u << lanes) - 1, (__m512)v);
    return;
  }
#endif
  for (int i = 0; i < lanes; i++) p[i] = v[i];
}

// ---- Vector maths. float: own polynomials, within a few units in the last place. double: the C library, lane by lane.

template <class F>
INLINE V lanewise(V x, F f) {
  V y;
  for (int i = 0; i < LANES; i++) y[i] = f(x[i]);
  return y;
}

INLINE V vmin(V a, V b) { return (a < b) | (a != a) ? a : b; }  // NaN wins, as in torch
INLINE V vmax(V a, V b) { return (a > b) | (a != a) ? a : b; }
INLINE V vabs(V x) { return x < 0 ? -x : x; }
INLINE V vsign(V x) { return x > 0 ? all(1) : (x < 0 ? all(-1) : V{}); }
INLINE V clamp(V x, real low, real high) {
  x = x < low ? all(low) : x;
  return x > high ? all(high) : x;
}

template <class T = real>
INLINE V scale(V x, I n) {  // x * 2^n, for a normal 2^n
  if constexpr (sizeof(T) == 4) return x * (V)((n + 127) << 23);
  return x;
}

INLINE V vexp(V x) {
  if constexpr (sizeof(real) == 8) return lanewise(x, [](real v) { return std::exp(v); });
  V c = clamp(x, real(-104), real(89));
  V rounder = all(real(12582912));  // 1.5 * 2^23: adding it rounds to a whole number
  V n = (c * real(1.44269504088896341) + rounder) - rounder;
  V r = c - n * real(0.693359375) + n * real(2.12194440e-4);
  V p = all(real(0.00138146));
  p = p * r + real(0.00836872);
  p = p * r + real(0.04166839);
  p = p * r + real(0.16666521);
  p = p * r + real(0.49999993);
  V e = p * (r * r) + r + real(1);
  n = n == n ? n : V{};
  I whole = __builtin_convertvector(n, I), half = whole >> 1;
  return scale(scale(e, half), whole - half);  // in two factors, so that the ends of the range are correct
}

INLINE V sigmoid(V x) {
  if constexpr (sizeof(real) == 8) return lanewise(x, [](real v) { return 1 / (1 + std::exp(-v)); });
  return real(1) / (real(1) + vexp(-x));
}

// x P(x^2) / Q(x^2) on [-9, 9], fitted to relative error; beyond, 1 to float's precision
INLINE V vtanh(V x) {
  if constexpr (sizeof(real) == 8) return lanewise(x, [](real v) { return std::tanh(v); });
  V c = clamp(x, real(-9), real(9));
  V u = c * c;
  V p = all(real(-1.2246216143098476e-11));
  p = p * u + real(3.0642484613265525e-08);
  p = p * u + real(2.8031291993217043e-05);
  p = p * u + real(0.0038695070208263956);
  p = p * u + real(0.1368085565500676);
  p = p * u + real(0.9999999987228313);
  V q = all(real(1.2890338044690124e-06));
  q = q * u + real(0.0003940711692955723);
  q = q * u + real(0.02725015302253172);
  q = q * u + real(0.4701418774467789);
  q = q * u + real(1);
  return clamp(c * p / q, real(-1), real(1));
}

// log(m 2^e) = e log 2 + log m with m about 1, and log m = 2 artanh(s), s = (m - 1) / (m + 1), by its series
INLINE V vlog(V x) {
  if constexpr (sizeof(real) == 8) return lanewise(x, [](real v) { return std::log(v); });
  constexpr real root = 0.70710678f, endless = std::numeric_limits<real>::infinity();
  I e = (((I)x >> 23) & 255) - 126;
  V m = (V)(((I)x & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
  I low = m < root;
  m = low ? m + m : m;
  V n = __builtin_convertvector(e + low, V);
  V f = m - real(1), s = f / (f + real(2)), z = s * s;
  V p = all(real(0.18181818));
  p = p * z + real(0.22222222);
  p = p * z + real(0.28571429);
  p = p * z + real(0.4);
  p = p * z + real(0.66666667);
  V y = n * real(0.693359375) + (n * real(-2.12194440e-4) + (s * real(2) + s * z * p));
  y = x > std::numeric_limits<real>::max() ? x : y;
  y = x < std::numeric_limits<real>::min() ? all(-endless) : y;
  return (x < 0) | (x != x) ? all(std::numeric_limits<real>::quiet_NaN()) : y;
}

INLINE V vlog1p(V x) {
  if constexpr (sizeof(real) == 8) return lanewise(x, [](real v) { return std::log1p(v); });
  V u = real(1) + x;
  V y = vlog(u) - ((u - real(1)) - x) / u;  // the rounding error of u
  return x > std::numeric_limits<real>::max() ? x : u > 0 ? y : vlog(u);
}

// Without our own polynomial: the C library, lane by lane.
#define LANEWISE(name, f) \
  INLINE V name(V x) { return lanewise(x, [](real v) { return std::f(v); }); }
LANEWISE(vexp2, exp2)
LANEWISE(vexpm1, expm1)
LANEWISE(vlog2, log2)
LANEWISE(vlog10, log10)
LANEWISE(vsqrt, sqrt)
LANEWISE(vsin, sin)
LANEWISE(vcos, cos)
LANEWISE(vtan, tan)
LANEWISE(vasin, asin)
LANEWISE(vacos, acos)
LANEWISE(vatan, atan)
LANEWISE(vsinh, sinh)
LANEWISE(vcosh, cosh)
LANEWISE(vasinh, asinh)
LANEWISE(vacosh, acosh)
LANEWISE(vatanh, atanh)
LANEWISE(verf, erf)
LANEWISE(verfc, erfc)
#undef LANEWISE

template <class F>
INLINE V lanewise(V x, V y, F f) {
  V z;
  for (int i = 0; i < LANES; i++) z[i] = f(x[i], y[i]);
  return z;
}
INLINE V vpow(V x, V e) { return lanewise(x, e, [](real a, real b) { return std::pow(a, b); }); }
INLINE V vatan2(V y, V x) { return lanewise(y, x, [](real a, real b) { return std::atan2(a, b); }); }
INLINE V vhypot(V x, V y) { return lanewise(x, y, [](real a, real b) { return std::hypot(a, b); }); }
INLINE V vfmod(V x, V y) { return lanewise(x, y, [](real a, real b) { return std::fmod(a, b); }); }

// With the divisor's sign, like Python's %.
INLINE V vremainder(V x, V y) {
  return lanewise(x, y, [](real a, real b) {
    real rest = std::fmod(a, b);
    return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
  });
}

// Like Python's //: exact where the quotient is near a whole number, which floor(x / y) is not.
INLINE V vfloordiv(V x, V y) {
  return lanewise(x, y, [](real a, real b) {
    if (b == 0) return a / b;
    real rest = std::fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
    if (quotient == 0) return std::copysign(real(0), a / b);
    real whole = std::floor(quotient);
    return quotient - whole > real(0.5) ? whole + 1 : whole;
  });
}

INLINE V vround(V x) {  // to the nearest whole number, ties to even
  constexpr real limit = sizeof(real) == 4 ? real(8388608) : real(4503599627370496);  // all numbers from here on are whole
  V shift = x < 0 ? all(-limit) : all(limit);
  V y = (x + shift) - shift;
  return vabs(x) < limit ? y : x;
}
INLINE V vfloor(V x) {
  V y = vround(x);
  return y > x ? y - real(1) : y;
}
INLINE V vceil(V x) {
  V y = vround(x);
  return y < x ? y + real(1) : y;
}
INLINE V vtrunc(V x) { return x < 0 ? vceil(x) : vfloor(x); }
