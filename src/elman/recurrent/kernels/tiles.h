// Products of large matrices, tile by tile: how their two sides are stored, and the sums in registers.
#pragma once
#include "operands.h"

namespace {

// A number of a product: of bfloat16 numbers, where pairs of them are multiplied, two neighbours along the sum.
#if HALF && DOT != ROUNDED
#define PAIRED 1
typedef uint32_t Number;
typedef Pairs Numbers;
constexpr int STEP = 2;
#else
#define PAIRED 0
typedef real Number;
typedef V Numbers;
constexpr int STEP = 1;
#endif
typedef Number LooseNumbers __attribute__((vector_size(BYTES), aligned(4), may_alias));

// A tile has ROWS rows of up to WIDE vectors of sums; these and one row of B's vectors are what the registers hold.
constexpr int ROWS = BYTES == 64 ? 8 : 4, WIDE = BYTES == 16 ? 2 : 3;
constexpr int SPAN = WIDE * LANES;  // columns of a full tile
static_assert(SPAN % ROWS == 0 && ROWS % 2 == 0, "");

constexpr int64_t ceil_of(int64_t n, int64_t step) { return (n + step - 1) / step; }

// acc[m][n] += sum over k of A[m, k] B[k, n], k in `blocks` blocks of `inner` numbers. In a block of A, (m, k) is at
// m * M + k * K, and the blocks are `apart`; B is read from first to last.
template <int M, int K, int N>
INLINE void product(const Number* A, int64_t apart, int64_t blocks, int64_t inner, const Number* B, V (&acc)[ROWS][N]) {
  for (; blocks > 0; blocks--, A += apart)
    for (int64_t k = 0; k < inner; k++, B += N * LANES) {
      Numbers b[N];
      UNROLL for (int n = 0; n < N; n++) b[n] = *reinterpret_cast<const LooseNumbers*>(B + n * LANES);
      UNROLL for (int m = 0; m < ROWS; m++) {
        const Numbers a = Numbers{} + A[m * M + k * K];
        UNROLL for (int n = 0; n < N; n++)
#if PAIRED
          acc[m][n] = dot(acc[m][n], a, b[n]);
#else
          acc[m][n] += a * b[n];
#endif
      }
    }
}

// Columns in panels of nearly equal width, of up to WIDE vectors.
struct Cut {
  int64_t columns, vectors, count;
  explicit Cut(int64_t columns) : columns(columns), vectors(ceil_of(columns, LANES)), count(ceil_of(vectors, WIDE)) {}
  int64_t first(int64_t panel) const { return panel * vectors / count; }  // vector
  int width(int64_t panel) const { return int(first(panel + 1) - first(panel)); }
  int lanes(int64_t vector) const { return lanes_of(columns - vector * LANES); }
};

// Calls f with the width of a panel as a constant.
template <class F>
INLINE void of_width(int width, F f) {
  if (width == WIDE) return f(std::integral_constant<int, WIDE>());
  if (width == 1) return f(std::integral_constant<int, 1>());
  f(std::integral_constant<int, 2>());
}

// What a product reads of one row of numbers, where they are not paired.
#if HALF
INLINE V operand(V x) { return (V)(bits(x) << 16); }
#else
INLINE V operand(V x) { return x; }
#endif

#if PAIRED
using ::load;
INLINE V load(const uint16_t* p, int lanes) { return load_left(p, lanes); }
#endif

// Rows k, k + 1, ... of a matrix, of reals or bfloat16, as rows of B: `rows` of them, those from `there` on are 0, columns of
// vectors [first, first + width), each row times its factor, if there are factors.
template <class T>
static void pack_columns(Number* to, const T* from, int64_t stride, int64_t rows, int64_t there, const Cut& cut,
                         int64_t first, int width, const real* factor) {
  auto row = [&](int64_t k, int64_t v) {
    if (k >= there) return V{};
    V x = load(from + k * stride + v * LANES, cut.lanes(v));
    return factor ? x * factor[k] : x;
  };
  for (int64_t k = 0; k < rows; k += STEP)
    for (int64_t v = first; v < first + width; v++, to += LANES)
#if PAIRED
      *reinterpret_cast<LooseNumbers*>(to) = pairs(row(k, v), row(k + 1, v));
#else
      *reinterpret_cast<LooseNumbers*>(to) = operand(row(k, v));
#endif
}

// Numbers k, k + 1, ... of a row of `size` reals or bfloat16; those from its end on are 0.
INLINE Numbers numbers(const real* row, int64_t k, int64_t size) {
#if PAIRED
  return pairs(row, k, size);
#else
  return operand(load(row + k, lanes_of(size - k)));
#endif
}
#if PAIRED
INLINE Numbers numbers(const uint16_t* row, int64_t k, int64_t size) {  // they are bfloat16 already
  Numbers result{};
  if (size - 2 * k >= 2 * LANES) return *reinterpret_cast<const LooseNumbers*>(row + 2 * k);
  std::memcpy(&result, row + 2 * k, std::max<int64_t>(0, size - 2 * k) * 2);
  return result;
}
#endif

// `count` rows of `size` numbers side by side: number k of row i is at k * count + i. Rows from `there` on are 0.
template <class T>
static void pack_rows(Number* to, int64_t count, const T* from, int64_t stride, int64_t size, int64_t there) {
  const int64_t depth = ceil_of(size, STEP);
  for (int64_t first = 0; first < count; first += LANES)
    for (int64_t k = 0; k < depth; k += LANES) {
      V rows[LANES];
      UNROLL for (int i = 0; i < LANES; i++)
        rows[i] = first + i < there ? (V)numbers(from + (first + i) * stride, k, size) : V{};
      transpose(rows);
      const int lanes = int(std::min<int64_t>(LANES, count - first));
      for (int i = 0; i < std::min<int64_t>(LANES, depth - k); i++)
        store((real*)to + (k + i) * count + first, rows[i], lanes);
    }
}

INLINE real largest(V v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(real) == 4) return _mm512_reduce_max_ps((__m512)v);
#endif
  real top = v[0];
  for (int i = 1; i < LANES; i++) top = std::max(top, v[i]);
  return top;
}

INLINE real sum_of(V v) {
  real sum = 0;
  for (int i = 0; i < LANES; i++) sum += v[i];
  return sum;
}

// f(0), ..., f(threads - 1), each on a thread.
template <class F>
static void in_threads(int threads, F f) {
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    for (int i = omp_get_thread_num(); i < threads; i += omp_get_num_threads()) f(i);
    return;
  }
#endif
  for (int i = 0; i < threads; i++) f(i);
}

}  // namespace
