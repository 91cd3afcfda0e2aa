// The engine that runs any cell: matrix tiles, and the loops over time. See docs/engine.md.
//
// A generated source defines REAL (float or double), HALF (1: products in bfloat16) and, for tests, DOT, includes operands.h, defines
// `struct Cell`, the derived equation on V, a vector of LANES units:
//   GATES RECURRENT FIELDS DELAYS   blocks of W, blocks of U, tensors of the state, how many h_{t-k} U sees
//   VECTORS MASKED NOISE            per-unit parameters, a mask on what U multiplies, noise blocks per row
//   KEPT BLOCKS READS_X             values kept for the backward pass and blocks of gradients that it writes, per unit;
//                                   whether it reads x W + b again
//   COLUMN[g]                       which of these blocks is the gradient of recurrent gate g
//   forward(...), backward(...)     one step, and its vector-Jacobian product
// and then includes this file.
#include "operands.h"

namespace {  // every cell is its own library in one process, and none may see another's

// acc[m][n] += sum_k A[m, k] B[k, n]: M rows of `stride`, N vectors of columns, B stored tile by tile.
// ahead: what will be read next, to prefetch meanwhile.
template <int M, int N>
INLINE void product(const Stored* A, int64_t stride, const Weight* B, const Weight* ahead, int64_t K, V (&acc)[M][N]) {
#if HALF
  int64_t pairs = (K + 1) / 2;
  for (int64_t k = 0; k < pairs; k++, B += N * LANES) {
    const bool last = 2 * k + 1 == K;
    if (M * N >= 8) __builtin_prefetch(ahead + k * LANES, 0, 2);
    Pairs b[N];
    UNROLL for (int n = 0; n < N; n++) {
      b[n] = *reinterpret_cast<const Pairs*>(B + n * LANES);
      if (M * N < 8) __builtin_prefetch(B + 16 * N * LANES + n * LANES, 0, 2);  // as below
    }
    UNROLL for (int m = 0; m < M; m++) {
      const Stored* p = A + m * stride + 2 * k;
#if DOT == ROUNDED
      real even = p[0], odd = last ? 0 : p[1];
      UNROLL for (int n = 0; n < N; n++) acc[m][n] += even * (V)(b[n] << 16) + odd * (V)(b[n] & 0xffff0000);
#else
      uint32_t both = p[0] | (last ? 0u : uint32_t(p[1]) << 16);
      UNROLL for (int n = 0; n < N; n++) acc[m][n] = dot(acc[m][n], Pairs{} + both, b[n]);
#endif
    }
  }
#else
  constexpr int CHAINS = M * N >= 8 ? 1 : (M * N >= 4 ? 2 : 4);  // enough independent sums to hide the latency
  V more[CHAINS][M][N] = {};
  int64_t k = 0;
  for (; k + CHAINS <= K; k += CHAINS, B += CHAINS * N * LANES)
    UNROLL for (int c = 0; c < CHAINS; c++) {
      V b[N];
      if (CHAINS == 1) __builtin_prefetch(ahead + k * LANES, 0, 2);
      UNROLL for (int n = 0; n < N; n++) {
        b[n] = *reinterpret_cast<const V*>(B + (c * N + n) * LANES);
        // with so few rows reading B is the whole cost, and the hardware does not prefetch far enough ahead
        if (CHAINS > 1) __builtin_prefetch(B + (c + 16) * N * LANES + n * LANES, 0, 2);
      }
      UNROLL for (int m = 0; m < M; m++) UNROLL for (int n = 0; n < N; n++)
        (CHAINS == 1 ? acc : more[c])[m][n] += A[m * stride + k + c] * b[n];
    }
  for (; k < K; k++, B += N * LANES)
    UNROLL for (int n = 0; n < N; n++) UNROLL for (int m = 0; m < M; m++)
      acc[m][n] += A[m * stride + k] * *reinterpret_cast<const V*>(B + n * LANES);
  if constexpr (CHAINS > 1)
    UNROLL for (int c = 0; c < CHAINS; c++) UNROLL for (int m = 0; m < M; m++) UNROLL for (int n = 0; n < N; n++)
      acc[m][n] += more[c][m][n];
#endif
}

constexpr int64_t depth(int64_t K) { return HALF ? (K + 1) / 2 : K; }  // rows of a packed panel

// A product's columns come in panels of up to WIDTH vectors of units, with GROUPS blocks (gates, or delays) of each.
template <int GROUPS>
struct Tiling {
  static constexpr int ROOM = REGISTERS == 32 ? 24 : 12;
  static constexpr int WIDTH = std::max(1, 4 / std::max(1, GROUPS));
  static constexpr int ROWS = std::min(8, std::max(1, ROOM / (GROUPS * WIDTH ? GROUPS * WIDTH : 1)));

  // out (M, N) = sum over segments s of A[:, column[s] * K ...] B_s; rows `stride` apart
  template <int M, int N>
  static void tile(const Stored* A, int64_t stride, const int* column, int segments, const Weight* B, const Weight* ahead,
                   int64_t K, V* out) {
    V acc[M][N] = {};
    const int64_t rows = depth(K) * LANES;
    for (int s = 0; s < segments; s++)
      product<M, N>(A + column[s] * K, stride, B + s * rows * N, ahead + s * rows, K, acc);
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int n = 0; n < N; n++) out[m * N + n] = acc[m][n];
  }

  using Tile = void (*)(const Stored*, int64_t, const int*, int, const Weight*, const Weight*, int64_t, V*);
  template <int W, int M = ROWS>
  static Tile rows(int m) {
    if constexpr (M > 1)
      if (m < M) return rows<W, M - 1>(m);
    return &tile<M, W * GROUPS>;
  }
  template <int W = WIDTH>
  static Tile pick(int m, int w) {
    if constexpr (W > 1)
      if (w < W) return pick<W - 1>(m, w);
    return rows<W>(m);
  }
};

struct Panels {  // how `hidden` units are cut into panels of nearly equal width, and n rows into blocks
  int64_t vectors, count;
  Panels(int64_t hidden, int width) : vectors((hidden + LANES - 1) / LANES), count((vectors + width - 1) / width) {}
  int64_t first(int64_t i) const { return i * vectors / count; }
};

// Weights (K rows of GROUPS blocks per segment) -> panels. at(s, k, g, unit) gives the number; ROWS: those of neighbouring
// units are adjacent in memory, otherwise those of neighbouring k are.
template <int GROUPS, bool ROWS, class At>
void pack(Weight* to, int segments, int64_t K, int64_t hidden, int width, int threads, At at) {
  Panels panels(hidden, width);
  int64_t rows = depth(K);
#pragma omp parallel for collapse(2) num_threads(threads)
  for (int64_t i = 0; i < panels.count; i++)
    for (int s = 0; s < segments; s++) {
      const int64_t v0 = panels.first(i), w = panels.first(i + 1) - v0, line = GROUPS * w * LANES;
      Weight* p = to + (v0 * segments + s * w) * rows * GROUPS * LANES;
      auto each = [&](auto f) {
        for (int g = 0; g < GROUPS; g++)
          for (int64_t v = 0; v < w; v++) f(g, (v0 + v) * LANES, lanes_of(hidden - (v0 + v) * LANES), (g * w + v) * LANES);
      };
      auto put = [&](int64_t place, auto numbers) { std::memcpy(p + place, &numbers, sizeof numbers); };
      if constexpr (ROWS) {
        for (int64_t k = 0; k < rows; k++)
          each([&](int g, int64_t unit, int lanes, int64_t place) {
#if HALF
            const V odd = 2 * k + 1 < K ? load(&at(s, 2 * k + 1, g, unit), lanes) : V{};
            put(k * line + place, pairs(load(&at(s, 2 * k, g, unit), lanes), odd));
#else
            put(k * line + place, load(&at(s, k, g, unit), lanes));
#endif
          });
        continue;
      }
      for (int64_t k = 0; k < rows; k += LANES)
        each([&](int g, int64_t unit, int lanes, int64_t place) {
          V block[LANES] = {};
          for (int u = 0; u < lanes; u++)
#if HALF
            block[u] = (V)pairs(&at(s, 0, g, unit + u), k, K);
#else
            block[u] = load(&at(s, k, g, unit + u), lanes_of(K - k));
#endif
          transpose(block);
          for (int64_t i = 0; i < std::min<int64_t>(LANES, rows - k); i++) put((k + i) * line + place, block[i]);
        });
    }
}

// ---- A call ----------------------------------------------------------------------------------------------------------

struct Pass {      // one direction of one call; rows are time-major, longest sequence first
  int64_t steps, sequences, hidden, reverse, keep;  // keep: for the backward pass
  const int64_t* size;       // running sequences at each step
  const int64_t* offset;     // the first row of each step
  real* a;                   // (rows, GATES * hidden)    x W + b; then the first of what is kept, in its place
  const Weight* panels;      // U, packed: by columns going forward, by rows going backward
  const real* vectors;       // (VECTORS, hidden)
  const real* mask;          // (sequences, hidden)       on what U multiplies, or null
  const real* noise;         // (rows, NOISE * hidden)
  real* state;               // (FIELDS, sequences, hidden)  in: where to start. out: the final state
  Stored* seen;              // (rows, DELAYS * hidden)   what U multiplies; the first row of each sequence is an input
  real* y;                   // (rows, y_stride)          output
  int64_t y_stride;
  real* kept;                // (rows, vectors of units, BESIDE, LANES)  what else is kept
  const real* dy;            // (rows, dy_stride)
  int64_t dy_stride;
  real* dstate;              // (FIELDS, sequences, hidden)  in: of the final state. out: of the first
  real* dseen;               // (sequences, DELAYS * hidden) in: of the final past. out: of the first row of `seen`
  Stored* grads;             // (rows, BLOCKS * hidden)   gradients of the gates and vectors
};

// Where value k of what is kept for a row and unit is stored. The gates' inputs are read once, so it replaces them while
// they are in cache, unless the backward pass reads them again.
constexpr int INSTEAD = Cell::READS_X ? 0 : std::min(Cell::GATES, Cell::KEPT), BESIDE = Cell::KEPT - INSTEAD;
INLINE real* kept_at(const Pass& j, int64_t row, int k, int64_t unit) {
  if (k < INSTEAD) return j.a + (row * Cell::GATES + k) * j.hidden + unit;
  // side by side for a vector of units, since nothing else reads them: one stream of memory, not BESIDE
  return j.kept + ((row * ((j.hidden + LANES - 1) / LANES) + unit / LANES) * BESIDE + k - INSTEAD) * LANES;
}

// Prefetch what the gates of some rows will read, while their product is computed.
template <bool BACKWARD>
INLINE void fetch(const Pass& j, int64_t t, int64_t row, int64_t m, int64_t v0, int64_t w) {
  for (int64_t i = row; i < row + m; i++)
    for (int64_t u = v0 * LANES; u < (v0 + w) * LANES; u += LANES) {
      const int64_t at = j.offset[t] + i;
      if (!BACKWARD || Cell::READS_X)
        UNROLL for (int g = 0; g < Cell::GATES; g++) __builtin_prefetch(j.a + (at * Cell::GATES + g) * j.hidden + u);
      if (BACKWARD || j.keep)
        UNROLL for (int k = BACKWARD ? 0 : INSTEAD; k < Cell::KEPT; k++) __builtin_prefetch(kept_at(j, at, k, u), !BACKWARD);
      if (BACKWARD) __builtin_prefetch(j.dy + at * j.dy_stride + u);
      else __builtin_prefetch(j.y + at * j.y_stride + u, 1);
    }
}

struct Barrier {
  std::atomic<int> waiting{0}, round{0};
  void wait(int team) {
    if (team == 1) return;
    int mine = round.load(std::memory_order_acquire);
    if (waiting.fetch_add(1, std::memory_order_acq_rel) == team - 1) {
      waiting.store(0, std::memory_order_relaxed);
      round.store(mine + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round.load(std::memory_order_acquire) == mine; spins++)
      if (spins > 4000) sched_yield();
#if defined(__x86_64__)
      else _mm_pause();
#endif
  }
};

struct Part {               // what one thread does: rows [low, high) of a job, or its share of a team's panels
  Pass* job;
  int64_t low, high;
  int rank, team;
  Barrier* barrier;
};

struct Share {              // a range of (panel, block of rows), panel by panel
  int64_t first, last, blocks, n;
  Share(const Part& p, int64_t panels, int64_t n, int rows) : blocks((n + rows - 1) / rows), n(n) {
    int64_t items = panels * blocks;
    first = items * p.rank / p.team, last = items * (p.rank + 1) / p.team;
  }
  int64_t row(int64_t block) const { return block * n / blocks; }
  // Where the next panel begins, and the part of it to prefetch during this item: each block of rows reads the whole panel,
  // one vector at a time, and prefetches as many single vectors of the next, so that it only ever waits for a cache.
  // panel_size: numbers in a vector of units, over all rows of a panel
  const Weight* ahead(const Weight* all, const Panels& panels, int64_t item, int64_t panel_size, int64_t line) const {
    const int64_t panel = item / blocks, next = (panel + 1) * blocks < last ? panel + 1 : first / blocks;
    const int64_t from = panels.first(next) * panel_size, size = panels.first(next + 1) * panel_size - from;
    return all + from + item % blocks * line % size;
  }
};

// ---- Forward ---------------------------------------------------------------------------------------------------------

using Ahead = Tiling<Cell::RECURRENT>;

// The gates of `m` rows from `row` on, at a step; sums (m, RECURRENT * w): h U. `next`: the step after it, or -1.
static __attribute__((noinline)) void gates_forward(Pass& j, int64_t t, int64_t next, int64_t row, int64_t m, int64_t v0,
                                                    int64_t w, const V* sums) {
  const int64_t H = j.hidden, S = j.sequences, going_on = next < 0 ? 0 : j.size[next];
  for (int64_t v = v0; v < v0 + w; v++) {
    const int64_t u = v * LANES;
    const int lanes = int(std::min<int64_t>(LANES, H - u));
    V p[Cell::VECTORS + 1];
    UNROLL for (int i = 0; i < Cell::VECTORS; i++) p[i] = load(j.vectors + i * H + u, lanes);
    for (int64_t i = row; i < row + m; i++) {
      const int64_t at = j.offset[t] + i;
      V x[Cell::GATES], r[Cell::RECURRENT + 1], s[Cell::FIELDS], mask{}, noise[Cell::NOISE + 1];
      V after[Cell::FIELDS], y, q, kept[Cell::KEPT + 1];
      UNROLL for (int g = 0; g < Cell::GATES; g++) x[g] = load(j.a + (at * Cell::GATES + g) * H + u, lanes);
      UNROLL for (int g = 0; g < Cell::RECURRENT; g++) r[g] = sums[((i - row) * Cell::RECURRENT + g) * w + v - v0];
      UNROLL for (int f = 0; f < Cell::FIELDS; f++) s[f] = load(j.state + (f * S + i) * H + u, lanes);
      UNROLL for (int k = 0; k < Cell::NOISE; k++) noise[k] = load(j.noise + (at * Cell::NOISE + k) * H + u, lanes);
      if (Cell::MASKED) mask = load(j.mask + i * H + u, lanes);
      Cell::forward(x, r, s, p, mask, noise, after, y, q, kept);
      UNROLL for (int f = 0; f < Cell::FIELDS; f++) store(j.state + (f * S + i) * H + u, after[f], lanes);
      store(j.y + at * j.y_stride + u, y, lanes);
      if (j.keep)
        UNROLL for (int k = 0; k < Cell::KEPT; k++) store(kept_at(j, at, k, u), kept[k], k < INSTEAD ? lanes : LANES);
      if (Cell::RECURRENT && i < going_on) {
        Stored* to = j.seen + (j.offset[next] + i) * Cell::DELAYS * H + u;
        const Stored* from = j.seen + at * Cell::DELAYS * H + u;
        store_left(to, q, lanes);
        UNROLL for (int d = 1; d < Cell::DELAYS; d++) store_left(to + d * H, load_left(from + (d - 1) * H, lanes), lanes);
      }
    }
  }
}

static void forward_part(const Part& part) {
  FlushDenormals flush;
  Pass& j = *part.job;
  const int64_t H = j.hidden, K = Cell::DELAYS * H;
  const Panels panels(H, Ahead::WIDTH);
  const int64_t size = depth(K) * Cell::RECURRENT * LANES;  // numbers of U for a vector of units
  const int none[1] = {0};
  V sums[Ahead::ROWS * Ahead::WIDTH * std::max(1, Cell::RECURRENT)];
  for (int64_t i = 0; i < j.steps; i++) {
    const int64_t t = j.reverse ? j.steps - 1 - i : i, next = i + 1 == j.steps ? -1 : (j.reverse ? t - 1 : t + 1);
    const int64_t n = std::min(j.size[t], part.high) - part.low;
    if (n > 0) {
      const Share share(part, panels.count, n, Ahead::ROWS);
      for (int64_t item = share.first; item < share.last; item++) {
        const int64_t panel = item / share.blocks, block = item % share.blocks;
        const int64_t v0 = panels.first(panel), w = panels.first(panel + 1) - v0;
        const int64_t row = part.low + share.row(block), m = part.low + share.row(block + 1) - row;
        fetch<false>(j, t, row, m, v0, w);
        if constexpr (Cell::RECURRENT > 0)
          Ahead::pick(int(m), int(w))(j.seen + (j.offset[t] + row) * K, K, none, 1, j.panels + v0 * size,
                                      share.ahead(j.panels, panels, item, size, depth(K) * LANES), K, sums);
        gates_forward(j, t, next, row, m, v0, w, sums);
      }
    }
    part.barrier->wait(part.team);
  }
}

// ---- One step, from the inputs on, without autograd ------------------------------------------------------------------

struct Step {
  Pass whole;                 // of one step; a is written here
  Stored* x;                 // (rows, inputs); null: a is known already
  int64_t inputs;
  const Weight* weights;     // W, packed one vector of units at a time, as is job.panels
  const real* bias;          // (GATES * hidden)
  const real* const* before; // each field of the state, (rows, hidden)
  real* const* after;
  const real* given;         // for elman_advance: x as it was computed, to be written to x; or null
};

// next: 1 if rows of `seen` for the step after this one are to be written, otherwise -1
static void step_part(const Step& s, int64_t next, int rank, int team) {
  FlushDenormals flush;
  Pass j = s.whole;
  using Input = Tiling<Cell::GATES>;
  constexpr int ROWS = std::min(Input::ROWS, Ahead::ROWS);
  const int64_t H = j.hidden, K = Cell::DELAYS * H, D = s.inputs, vectors = (H + LANES - 1) / LANES;
  const int none[1] = {0};
  V sums[ROWS * std::max(Cell::GATES, Cell::RECURRENT)];
  for (int64_t v = vectors * rank / team; v < vectors * (rank + 1) / team; v++)
    for (int64_t row = 0; row < j.sequences; row += ROWS) {
      const int m = int(std::min<int64_t>(ROWS, j.sequences - row)), lanes = int(std::min(H - v * LANES, int64_t(LANES)));
      const Weight* W = s.weights + v * depth(D) * Cell::GATES * LANES;
      if (s.x) {
        Input::pick(m, 1)(s.x + row * D, D, none, 1, W, W, D, sums);
        for (int i = 0; i < m; i++)
          for (int g = 0; g < Cell::GATES; g++) {
            const int64_t at = g * H + v * LANES;
            store(j.a + (row + i) * Cell::GATES * H + at, sums[i * Cell::GATES + g] + load(s.bias + at, lanes), lanes);
          }
      }
      if constexpr (Cell::RECURRENT > 0) {
        const Weight* U = j.panels + v * depth(K) * Cell::RECURRENT * LANES;
        Ahead::pick(m, 1)(j.seen + row * K, K, none, 1, U, U, K, sums);
      }
      gates_forward(j, 0, next, row, m, v, 1, sums);
    }
}

static void step(const Step& s, int64_t next, int threads) {
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    step_part(s, next, omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  step_part(s, next, 0, 1);
}

// ---- Backward --------------------------------------------------------------------------------------------------------

using Back = Tiling<Cell::DELAYS>;

// sums (m, DELAYS * w): the gradient of the later step's gates times U', or null if there is no later step.
static __attribute__((noinline)) void gates_backward(Pass& j, int64_t t, int64_t row, int64_t m, int64_t v0, int64_t w,
                                                     const V* sums) {
  const int64_t H = j.hidden, S = j.sequences, running = t < 0 ? 0 : j.size[t];
  for (int64_t v = v0; v < v0 + w; v++) {
    const int64_t u = v * LANES;
    const int lanes = int(std::min<int64_t>(LANES, H - u));
    V p[Cell::VECTORS + 1];
    UNROLL for (int i = 0; i < Cell::VECTORS; i++) p[i] = load(j.vectors + i * H + u, lanes);
    for (int64_t i = row; i < row + m; i++) {
      real* d = j.dseen + i * Cell::DELAYS * H + u;
      V dq{};
      if (sums) {  // the gradients of h_{t-1}, h_{t-2}, ... move one step back in the history
        UNROLL for (int k = 0; k < Cell::DELAYS; k++) {
          V value = sums[((i - row) * Cell::DELAYS + k) * w + v - v0];
          if (k + 1 < Cell::DELAYS) value += load(d + (k + 1) * H, lanes);
          if (k == 0) dq = value;
          if (k || Cell::DELAYS > 1 || i >= running) store(d + k * H, value, lanes);
        }
      } else if (Cell::RECURRENT) {
        dq = load(d, lanes);
      }
      if (i >= running) continue;
      const int64_t at = j.offset[t] + i;
      V x[Cell::GATES], kept[Cell::KEPT + 1], mask{}, noise[Cell::NOISE + 1], dafter[Cell::FIELDS];
      V dbefore[Cell::FIELDS], grads[Cell::BLOCKS];
      if (Cell::READS_X)
        UNROLL for (int g = 0; g < Cell::GATES; g++) x[g] = load(j.a + (at * Cell::GATES + g) * H + u, lanes);
      UNROLL for (int k = 0; k < Cell::KEPT; k++) kept[k] = load(kept_at(j, at, k, u), k < INSTEAD ? lanes : LANES);
      UNROLL for (int k = 0; k < Cell::NOISE; k++) noise[k] = load(j.noise + (at * Cell::NOISE + k) * H + u, lanes);
      if (Cell::MASKED) mask = load(j.mask + i * H + u, lanes);
      UNROLL for (int f = 0; f < Cell::FIELDS; f++) dafter[f] = load(j.dstate + (f * S + i) * H + u, lanes);
      V dy = load(j.dy + at * j.dy_stride + u, lanes);
      Cell::backward(x, kept, p, mask, noise, dafter, dy, dq, grads, dbefore);
      UNROLL for (int f = 0; f < Cell::FIELDS; f++) store(j.dstate + (f * S + i) * H + u, dbefore[f], lanes);
      UNROLL for (int b = 0; b < Cell::BLOCKS; b++) store_left(j.grads + (at * Cell::BLOCKS + b) * H + u, grads[b], lanes);
    }
  }
}

static void backward_part(const Part& part) {
  FlushDenormals flush;
  Pass& j = *part.job;
  const int64_t H = j.hidden;
  const Panels panels(H, Back::WIDTH);
  const int64_t line = Cell::RECURRENT * depth(H) * LANES, size = line * Cell::DELAYS;
  V sums[Back::ROWS * Back::WIDTH * Cell::DELAYS];
  // one more round than steps: the last only passes the gradient of the first step's gates to the initial state
  for (int64_t i = 0; i <= j.steps; i++) {
    const int64_t t = i == j.steps ? -1 : (j.reverse ? i : j.steps - 1 - i);
    const int64_t later = i == 0 ? -1 : (j.reverse ? i - 1 : j.steps - i);
    const int64_t n = t < 0 ? 0 : std::max<int64_t>(0, std::min(j.size[t], part.high) - part.low);
    int64_t m = later < 0 || Cell::RECURRENT == 0 ? 0 : std::max<int64_t>(0, std::min(j.size[later], part.high) - part.low);
    if (m > 0) {
      const Share share(part, panels.count, m, Back::ROWS);
      for (int64_t item = share.first; item < share.last; item++) {
        const int64_t panel = item / share.blocks, block = item % share.blocks;
        const int64_t v0 = panels.first(panel), w = panels.first(panel + 1) - v0;
        const int64_t row = part.low + share.row(block), rows = part.low + share.row(block + 1) - row;
        if (row < n + part.low) fetch<true>(j, t, row, std::min(rows, n + part.low - row), v0, w);
        Back::pick(int(rows), int(w))(j.grads + (j.offset[later] + row) * Cell::BLOCKS * H, Cell::BLOCKS * H,
                                      Cell::COLUMN, Cell::RECURRENT,
                                      j.panels + v0 * size, share.ahead(j.panels, panels, item, size, line), H, sums);
        gates_backward(j, t, row, rows, v0, w, sums);
      }
    }
    if (n > m) {  // sequences whose last step this is
      const Share share(part, panels.count, n - m, Back::ROWS);
      for (int64_t item = share.first; item < share.last; item++) {
        const int64_t panel = item / share.blocks, block = item % share.blocks;
        const int64_t v0 = panels.first(panel), w = panels.first(panel + 1) - v0;
        const int64_t row = part.low + m + share.row(block);
        gates_backward(j, t, row, part.low + m + share.row(block + 1) - row, v0, w, nullptr);
      }
    }
    part.barrier->wait(part.team);
  }
}

// ---- Which thread does what ------------------------------------------------------------------------------------------

// Directions go to teams of threads. A team splits the rows if U fits its own cache, so that no thread waits for another;
// otherwise it splits the panels, so that U is read once, with a barrier after every step.
template <class Work>
static void run(Pass* jobs, int count, int threads, Work work) {
  std::vector<Barrier> barriers(count);
  auto thread = [&](int me, int all) {
    for (int i = 0; i < count; i++) {
      const int team = std::max(1, all / count), first = all >= count ? i * team : i % all;
      if (me < first || me >= first + team) continue;
      Pass& j = jobs[i];
      const int64_t S = j.sequences, H = j.hidden, rank = me - first;
      const bool even = j.steps > 0 && j.size[j.steps - 1] == S;
      const bool fits = Cell::RECURRENT * Cell::DELAYS * H * H * int64_t(sizeof(real)) <= (1 << 20);
      Barrier alone;
      if (team == 1 || (even && fits && S >= 4 * team)) {
        work(Part{&j, S * rank / team, S * (rank + 1) / team, 0, 1, &alone});
      } else {
        work(Part{&j, 0, S, int(rank), team, &barriers[i]});
      }
    }
  };
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    thread(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  thread(0, 1);
}

}  // namespace

extern "C" {

enum Size { FORWARD_PANELS, BACKWARD_PANELS, STORED_BYTES, INPUT_PANEL, KEPT };  // the same as Size of abi.py

int64_t elman_sizes(int what, int64_t hidden) {  // what Python must know to allocate memory
  int64_t vectors = (hidden + LANES - 1) / LANES * LANES;
  switch (what) {
    case FORWARD_PANELS: return vectors * Cell::RECURRENT * depth(Cell::DELAYS * hidden);  // weights in U's panels
    case BACKWARD_PANELS: return vectors * Cell::DELAYS * Cell::RECURRENT * depth(hidden);
    case STORED_BYTES: return sizeof(Stored);
    case INPUT_PANEL: return vectors * Cell::GATES;                                        // a row of W's panels
    case KEPT: return vectors * BESIDE;                                                    // a row of `kept`
  }
  return 0;
}

void elman_pack_forward(const real* U, Weight* to, int64_t hidden, int one_by_one, int threads) {
  if constexpr (Cell::RECURRENT > 0) {
    const int width = one_by_one ? 1 : Ahead::WIDTH;
    const int64_t columns = Cell::RECURRENT * hidden;
    auto at = [=](int, int64_t k, int g, int64_t unit) -> const real& { return U[k * columns + g * hidden + unit]; };
    pack<Cell::RECURRENT, true>(to, 1, Cell::DELAYS * hidden, hidden, width, threads, at);
  }
}

void elman_pack_backward(const real* U, Weight* to, int64_t hidden, int threads) {
  const int64_t columns = Cell::RECURRENT * hidden;
  auto at = [=](int s, int64_t k, int d, int64_t unit) -> const real& { return U[(d * hidden + unit) * columns + s * hidden + k]; };
  pack<Cell::DELAYS, false>(to, Cell::RECURRENT, hidden, hidden, Back::WIDTH, threads, at);
}

void elman_pack_inputs(const real* W, Weight* to, int64_t inputs, int64_t hidden, int threads) {
  const int64_t columns = Cell::GATES * hidden;
  auto at = [=](int, int64_t k, int g, int64_t unit) -> const real& { return W[k * columns + g * hidden + unit]; };
  pack<Cell::GATES, true>(to, 1, inputs, hidden, 1, threads, at);
}

void elman_step(const Step* one, int threads) {
  const Pass& j = one->whole;
  const int64_t field = j.sequences * j.hidden;
  for (int f = 0; f < Cell::FIELDS; f++) std::memcpy(j.state + f * field, one->before[f], field * sizeof(real));
  step(*one, -1, threads);
  for (int f = 0; f < Cell::FIELDS; f++) std::memcpy(one->after[f], j.state + f * field, field * sizeof(real));
}

// The same for a state that stays where it is: `seen` has a second block of rows, which becomes the first.
void elman_advance(const Step* one, int threads) {
  const Pass& j = one->whole;
  if (one->given)
    for (int64_t i = 0, all = j.sequences * one->inputs; i < all; i += LANES) {
      const int lanes = int(std::min<int64_t>(LANES, all - i));
      store_left(one->x + i, load(one->given + i, lanes), lanes);
    }
  step(*one, Cell::RECURRENT ? 1 : -1, threads);
  if (Cell::RECURRENT) {
    const int64_t rows = j.sequences * Cell::DELAYS * j.hidden;
    std::memcpy(j.seen, j.seen + rows, rows * sizeof(Stored));
  }
}

void elman_forward(Pass* jobs, int count, int threads) { run(jobs, count, threads, forward_part); }

void elman_backward(Pass* jobs, int count, int threads) { run(jobs, count, threads, backward_part); }

}
