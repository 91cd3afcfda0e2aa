// What products read: float or double unchanged, or bfloat16 with accumulation in float.
//
// REAL is float or double. HALF (1: products in bfloat16) and, for tests, DOT, say which.
#pragma once
#include "maths.h"

namespace {  // every library has its own, and none may see another's

INLINE int lanes_of(int64_t rest) { return int(std::min<int64_t>(LANES, std::max<int64_t>(0, rest))); }

// DOT says how bfloat16 numbers are multiplied: by the processor's instruction for pairs of them, by the same in software,
// with the same order of sums, or as rounded numbers stored as float.
#define INSTRUCTION 1
#define SOFTWARE 2
#define ROUNDED 3
#if HALF && !defined(DOT)
#if defined(__AVX512BF16__)
#define DOT INSTRUCTION
#else
#define DOT ROUNDED
#endif
#endif

#if HALF
typedef uint32_t Weight;  // rows k and k + 1 of a column, the even one in the low half
typedef uint32_t Pairs __attribute__((vector_size(BYTES)));
#if DOT == ROUNDED
typedef float Stored;     // how the left side of a product is stored
#else
typedef uint16_t Stored;
#endif
INLINE uint32_t bits(float x) {  // to nearest, ties to even
  uint32_t u;
  std::memcpy(&u, &x, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}
INLINE Pairs bits(V x) {
  Pairs u = (Pairs)x;
  Pairs r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return (u & 0x7fffffff) > 0x7f800000 ? Pairs{} + 0x7fc0 : r;
}
INLINE void store_left(Stored* p, V v, int lanes) {
  Pairs u = bits(v);
#if DOT == INSTRUCTION
  _mm512_mask_cvtepi32_storeu_epi16(p, (1u << lanes) - 1, (__m512i)u);
#elif DOT == SOFTWARE
  for (int i = 0; i < lanes; i++) p[i] = uint16_t(u[i]);
#else
  store(p, (V)(u << 16), lanes);
#endif
}
INLINE V load_left(const Stored* p, int lanes) {
#if DOT == INSTRUCTION
  Pairs u = (Pairs)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((1u << lanes) - 1, p));
  return (V)(u << 16);
#elif DOT == SOFTWARE
  Pairs u{};
  for (int i = 0; i < lanes; i++) u[i] = p[i];
  return (V)(u << 16);
#else
  return load(p, lanes);
#endif
}
INLINE Pairs pairs(V even, V odd) { return bits(even) | bits(odd) << 16; }
// Numbers 2k, 2k + 1, ... of a row of `size`, two by two; those from its end on are 0.
INLINE Pairs pairs(const real* row, int64_t k, int64_t size) {
  const V low = load(row + 2 * k, lanes_of(size - 2 * k)), high = load(row + 2 * k + LANES, lanes_of(size - 2 * k - LANES));
#if DOT == INSTRUCTION
  return (Pairs)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
#else
  Pairs result;
  for (int i = 0; i < LANES; i += 2) {
    result[i / 2] = bits(low[i]) | bits(low[i + 1]) << 16;
    result[(LANES + i) / 2] = bits(high[i]) | bits(high[i + 1]) << 16;
  }
  return result;
#endif
}
#if DOT == INSTRUCTION
INLINE V dot(V sum, Pairs a, Pairs b) { return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b); }
#elif DOT == SOFTWARE
INLINE V flushed(V x) {  // the instruction reads and writes no denormal numbers, whatever the thread is set to
  Pairs u = (Pairs)x;
  return (u & 0x7f800000) == 0 ? (V)(u & 0x80000000) : x;
}
INLINE V fused(V a, V b, V c) {  // a b + c, rounded once
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return a * b + c;
#else
  for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#endif
}
INLINE V dot(V sum, Pairs a, Pairs b) {
  V odd = fused(flushed((V)(a & 0xffff0000)), flushed((V)(b & 0xffff0000)), flushed(sum));
  return flushed(fused(flushed((V)(a << 16)), flushed((V)(b << 16)), flushed(odd)));
}
#endif
#else
typedef real Weight;
typedef real Stored;
INLINE void store_left(Stored* p, V v, int lanes) { store(p, v, lanes); }
INLINE V load_left(const Stored* p, int lanes) { return load(p, lanes); }
#endif

// LANES rows of LANES numbers -> its columns
#if defined(__AVX512F__)
template <int STRIDE>
INLINE void exchange(V (&rows)[LANES]) {  // the blocks beside the diagonal
  I low, high;
  for (int i = 0; i < LANES; i++) {
    low[i] = i & STRIDE ? i - STRIDE + LANES : i;
    high[i] = i & STRIDE ? i + LANES : i + STRIDE;
  }
  UNROLL for (int i = 0; i < LANES; i++)
    if (!(i & STRIDE)) {
      const __m512 a = (__m512)rows[i], b = (__m512)rows[i + STRIDE];
      rows[i] = (V)_mm512_permutex2var_ps(a, (__m512i)low, b);
      rows[i + STRIDE] = (V)_mm512_permutex2var_ps(a, (__m512i)high, b);
    }
}
#endif
INLINE void transpose(V (&rows)[LANES]) {
#if defined(__AVX512F__)
  if constexpr (sizeof(real) == 4) {
    exchange<1>(rows), exchange<2>(rows), exchange<4>(rows), exchange<8>(rows);
    return;
  }
#endif
  for (int i = 0; i < LANES; i++)
    for (int k = 0; k < i; k++) {
      const real moved = rows[i][k];
      rows[i][k] = rows[k][i];
      rows[k][i] = moved;
    }
}

struct FlushDenormals {
#if defined(__x86_64__)
  unsigned before = _mm_getcsr();
  FlushDenormals() { _mm_setcsr(before | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before); }
#endif
};

}  // namespace
