// Attention on a ragged memory: of each source the products of its rows and its positions, softmax, sums, and their
// gradients. Sources go to threads whole, so nothing depends on how many there are.
#include "tiles.h"

namespace {

struct Attention {
  int64_t sources, dim, width;
  const int64_t* rows;       // (sources + 1,) the rows of each source, in `order`
  const int64_t* positions;  // (sources + 1,) its positions
  const int64_t* pairs;      // (sources + 1,) its pairs
  const int64_t* order;      // (rows,) or null: they are in order already
  const real *queries, *keys;  // (rows, dim), (positions, dim), or null: the weights are given
  const real* values;          // (positions, width), or null: only weights are wanted
  real* weights;               // (pairs,)
  int64_t softmax;             // whether weights are the softmax of the products, or the products
  real* context;               // (rows, width)
  // backward: what came back, or null; and the gradients, null where not wanted
  const real *dcontext, *dweights;
  real *dqueries, *dkeys, *dvalues, *dpairs;  // dpairs: (pairs,) of the products or of the given weights
};

// Rows of a matrix, some of them, in any order.
template <class T>
struct Lines {
  T* data;
  int64_t stride;
  const int64_t* order;
  T* operator[](int64_t i) const { return data + (order ? order[i] : i) * stride; }
};
typedef Lines<const real> Read;
typedef Lines<real> Written;

constexpr int HIGH = 2, BROAD = BYTES == 64 ? 6 : 3;  // rows and columns of products, or vectors, in registers at a time

template <int R, int C>
INLINE void products_of(Read a, int64_t i, Read b, int64_t j, int64_t size, real* out, int64_t stride) {
  V acc[R][C] = {};
  for (int64_t k = 0; k < size; k += LANES) {
    const int lanes = lanes_of(size - k);
    V x[C];
    UNROLL for (int c = 0; c < C; c++) x[c] = load(b[j + c] + k, lanes);
    UNROLL for (int r = 0; r < R; r++) {
      const V y = load(a[i + r] + k, lanes);
      UNROLL for (int c = 0; c < C; c++) acc[r][c] += y * x[c];
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++) out[r * stride + c] = sum_of(acc[r][c]);
}

// out[i, j] = sum over k of a[i, k] b[j, k]
static void products(Read a, int64_t n, Read b, int64_t m, int64_t size, real* out) {
  for (int64_t i = 0; i < n;) {
    const bool both = n - i >= HIGH;
    for (int64_t j = 0; j < m;) {
      real* to = out + i * m + j;
      if (m - j >= 4) {
        both ? products_of<HIGH, 4>(a, i, b, j, size, to, m) : products_of<1, 4>(a, i, b, j, size, to, m);
        j += 4;
      } else {
        both ? products_of<HIGH, 1>(a, i, b, j, size, to, m) : products_of<1, 1>(a, i, b, j, size, to, m);
        j++;
      }
    }
    i += both ? HIGH : 1;
  }
}

template <int R, int C>
INLINE void sums_of(const real* w, int64_t row, int64_t column, Read b, int64_t m, Written out, int64_t i, int64_t k,
                    int lanes) {
  V acc[R][C] = {};
  for (int64_t j = 0; j < m; j++) {
    V x[C];
    UNROLL for (int c = 0; c < C; c++) x[c] = load(b[j] + k + c * LANES, c == C - 1 ? lanes : LANES);
    UNROLL for (int r = 0; r < R; r++) {
      const V y = all(w[(i + r) * row + j * column]);
      UNROLL for (int c = 0; c < C; c++) acc[r][c] += y * x[c];
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int c = 0; c < C; c++) store(out[i + r] + k + c * LANES, acc[r][c], c == C - 1 ? lanes : LANES);
}

// out[i] = sum over j of w[i * row + j * column] b[j]
static void sums(const real* w, int64_t row, int64_t column, int64_t n, Read b, int64_t m, int64_t size, Written out) {
  for (int64_t i = 0; i < n;) {
    const bool both = n - i >= HIGH;
    for (int64_t k = 0; k < size;) {
      if (size - k >= BROAD * LANES) {
        both ? sums_of<HIGH, BROAD>(w, row, column, b, m, out, i, k, LANES)
             : sums_of<1, BROAD>(w, row, column, b, m, out, i, k, LANES);
        k += BROAD * LANES;
      } else {
        const int lanes = lanes_of(size - k);
        both ? sums_of<HIGH, 1>(w, row, column, b, m, out, i, k, lanes)
             : sums_of<1, 1>(w, row, column, b, m, out, i, k, lanes);
        k += LANES;
      }
    }
    i += both ? HIGH : 1;
  }
}

static void softmax(real* x, int64_t n) {
  V top = all(-std::numeric_limits<real>::infinity());
  for (int64_t k = 0; k < n; k += LANES) {
    const int lanes = lanes_of(n - k);
    V v = load(x + k, lanes);
    for (int i = lanes; i < LANES; i++) v[i] = x[0];
    top = vmax(top, v);
  }
  const real highest = largest(top);
  real total = 0;
  for (int64_t k = 0; k < n; k += LANES) {
    const int lanes = lanes_of(n - k);
    store(x + k, vexp(load(x + k, lanes) - highest), lanes);
    for (int i = 0; i < lanes; i++) total += x[k + i];
  }
  for (int64_t k = 0; k < n; k++) x[k] /= total;
}

struct Source {
  const Attention& s;
  int64_t i, row, n, position, m;
  real* weights;
  Source(const Attention& s, int64_t i)
      : s(s), i(i), row(s.rows[i]), n(s.rows[i + 1] - row), position(s.positions[i]), m(s.positions[i + 1] - position),
        weights(s.weights + s.pairs[i]) {}
  template <class T>
  Lines<T> of_rows(T* data, int64_t size) const {
    return s.order ? Lines<T>{data, size, s.order + row} : Lines<T>{data + row * size, size, nullptr};
  }
  template <class T>
  Lines<T> of_positions(T* data, int64_t size) const {
    return {data + position * size, size, nullptr};
  }

  void forward() const {
    if (s.queries) products(of_rows(s.queries, s.dim), n, of_positions(s.keys, s.dim), m, s.dim, weights);
    if (s.queries && s.softmax)
      for (int64_t r = 0; r < n; r++) softmax(weights + r * m, m);
    if (s.values) sums(weights, m, 1, n, of_positions(s.values, s.width), m, s.width, of_rows(s.context, s.width));
  }

  void backward() const {
    real* d = s.dpairs + s.pairs[i];
    if (s.dcontext) {
      const Read g = of_rows(s.dcontext, s.width);
      products(g, n, of_positions(s.values, s.width), m, s.width, d);
      if (s.dvalues) sums(weights, 1, m, m, g, n, s.width, of_positions(s.dvalues, s.width));
    } else {
      std::fill(d, d + n * m, real(0));
    }
    if (s.dweights)
      for (int64_t k = 0; k < n * m; k++) d[k] += s.dweights[s.pairs[i] + k];
    if (!s.queries) return;
    if (s.softmax)
      for (int64_t r = 0; r < n; r++) {
        const real* w = weights + r * m;
        real* e = d + r * m;
        real mean = 0;
        for (int64_t j = 0; j < m; j++) mean += w[j] * e[j];
        for (int64_t j = 0; j < m; j++) e[j] = w[j] * (e[j] - mean);
      }
    if (s.dqueries) sums(d, m, 1, n, of_positions(s.keys, s.dim), m, s.dim, of_rows(s.dqueries, s.dim));
    if (s.dkeys) sums(d, 1, m, m, of_rows(s.queries, s.dim), n, s.dim, of_positions(s.dkeys, s.dim));
  }
};

// Sources in parts of about as many pairs; f of each source.
template <class F>
static void of_sources(const Attention& s, int threads, F f) {
  const int64_t every = s.pairs[s.sources];
  in_threads(threads, [&](int thread) {
    const FlushDenormals here;
    auto begin = [&](int part) {
      return std::lower_bound(s.pairs, s.pairs + s.sources, part * every / threads) - s.pairs;
    };
    const int64_t last = thread + 1 == threads ? s.sources : begin(thread + 1);
    for (int64_t i = begin(thread); i < last; i++) f(Source(s, i));
  });
}

}  // namespace

extern "C" void elman_attention(const Attention* s, int threads) {
  of_sources(*s, threads, [](const Source& source) { source.forward(); });
}
extern "C" void elman_attention_backward(const Attention* s, int threads) {
  of_sources(*s, threads, [](const Source& source) { source.backward(); });
}
