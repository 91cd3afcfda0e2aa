// The softmax over a vocabulary: product, exponentials, sums and both gradients' products, tile by tile. See docs/engine.md.
#include "tiles.h"

namespace {

struct Softmax {
  int64_t rows, words, size;
  const real* h;           // (rows, size)
  const real* weight;      // (words, size)
  const real* bias;        // (words,)
  const int64_t* targets;  // (rows,)
  real* logs;              // (rows,)         out: log p(target)
  real* dh;                // (rows, size)    out: the gradients of -factor * sum(logs), or null
  real* dweight;           // (words, size)
  real* dbias;             // (words,)
  double factor;
  int64_t block;           // rows whose exponentials are kept at a time, a multiple of ROWS
  char* room;              // as many bytes as elman_softmax_room says
};

constexpr int DEPTH = PAIRED ? 10 : 5;       // panels of words whose part of dh is summed in registers
constexpr int TILE = ROWS * SPAN / STEP;     // numbers in a tile of exponentials
constexpr real HIGHER = 30;                  // a row's exponents are relative to its maximum, or to at most so much less

// The exponentials are kept in tiles of ROWS rows and SPAN words, side by side for the rows of a block. `across` is how dweight's
// product reads them: with neighbouring rows in one number. dh's product reads `along`: neighbouring words. Without pairs
// these are one.
struct Room {
  Number *across, *turned;                 // of the block; turned: h by rows, times each row's share
  real *share, *top;                       // (block,) factor / sum; what a row's exponents are relative to
  V* total;                                // (block,) sums of exponentials, by lane
  Number *along, *h, *words;               // of a thread
  int64_t bytes = 0;
  Room(const Softmax& s, int thread, int threads) {
    auto take = [&](auto*& to, int64_t count) {
      to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(s.room + bytes);
      bytes += ceil_of(count * int64_t(sizeof *to), 64) * 64;
    };
    const int64_t tiles = s.block / ROWS, own = ceil_of(tiles, threads), depth = ceil_of(s.size, STEP);
    take(across, s.dweight || (s.dh && !PAIRED) ? ceil_of(s.words, SPAN) * tiles * TILE : 0);
    take(turned, s.dweight ? s.block / STEP * Cut(s.size).vectors * LANES : 0);
    take(share, s.block), take(top, s.block), take(total, s.block);
    for (int i = 0; i <= thread; i++) {
      take(along, PAIRED && s.dh ? own * DEPTH * TILE : 0);
      take(h, own * depth * ROWS);
      take(words, std::max(depth * SPAN, s.dh ? int64_t(DEPTH * SPAN / STEP * SPAN) : 0));
    }
  }
};

struct Rows {  // of a block, one thread's part
  const Softmax& s;
  const Room& room;
  int64_t begin, count, tiles;      // of the block: its first row, rows in it, tiles of rows
  int64_t first, last;              // the tiles of this thread

  Number* across(int64_t panel, int64_t tile) const { return room.across + (panel * tiles + tile) * TILE; }
  Number* along(int64_t panel, int64_t tile) const {
    return PAIRED ? room.along + ((tile - first) * DEPTH + panel % DEPTH) * TILE : across(panel, tile);
  }

  // A row's exponents are from now on relative to `top`: what there is of it is multiplied by `factor`.
  __attribute__((noinline)) void raise(int64_t row, int64_t panel, real top) const {
    const real factor = std::exp(room.top[row] - top);
    const int64_t tile = row / ROWS, m = row % ROWS;
    room.top[row] = top;
    room.total[row] *= factor;
#if PAIRED
    auto scaled = [&](uint32_t half) {
      real x;
      std::memcpy(&x, &(half <<= 16), 4);
      return bits(x * factor);
    };
#endif
    for (int64_t p = 0; p < panel; p++) {
#if PAIRED
      if (s.dweight) {
        Number* pairs = across(p, tile) + m / 2 * SPAN;
        const int shift = m % 2 * 16;
        for (int i = 0; i < SPAN; i++)
          pairs[i] = (pairs[i] & ~(0xffffu << shift)) | scaled(pairs[i] >> shift & 0xffff) << shift;
      }
      if (s.dh && p >= panel / DEPTH * DEPTH) {
        uint16_t* narrow = reinterpret_cast<uint16_t*>(along(p, tile)) + m * SPAN;
        for (int i = 0; i < SPAN; i++) narrow[i] = uint16_t(scaled(narrow[i]));
      }
#else
      if (s.dweight || s.dh)
        for (int i = 0; i < SPAN; i++) across(p, tile)[m * SPAN + i] *= factor;
#endif
    }
    if (s.dh && panel >= DEPTH && row < count)
      for (int64_t i = 0; i < s.size; i++) s.dh[(begin + row) * s.size + i] *= factor;
  }

  // The exponentials of a tile of logits, kept for the gradients, and their sums.
  void exponentials(int64_t panel, int64_t tile, V (&acc)[ROWS][WIDE]) const {
    UNROLL for (int m = 0; m < ROWS; m++) {
      const int64_t row = tile * ROWS + m;
      V highest = acc[m][0];
      UNROLL for (int n = 1; n < WIDE; n++) highest = acc[m][n] > highest ? acc[m][n] : highest;
      const real most = std::max(largest(highest), std::numeric_limits<real>::lowest());
      if (__builtin_expect(panel == 0, 0)) room.top[row] = most, room.total[row] = V{};
      else if (__builtin_expect(most > room.top[row] + HIGHER, 0)) raise(row, panel, most);
      const real top = room.top[row];
      if (row < count) {
        const int64_t at = s.targets[begin + row] - panel * SPAN;
        if (at >= 0 && at < SPAN) s.logs[begin + row] = acc[m][at / LANES][at % LANES];
      }
      V total = room.total[row];
      UNROLL for (int n = 0; n < WIDE; n++) {
        acc[m][n] = vexp(acc[m][n] - top);
        total += acc[m][n];
      }
      room.total[row] = total;
    }
    if (!s.dh && !s.dweight) return;
#if PAIRED
    typedef uint16_t Narrow __attribute__((vector_size(BYTES / 2), aligned(2), may_alias));
    UNROLL for (int m = 0; m < ROWS; m += 2) UNROLL for (int n = 0; n < WIDE; n++) {
      const Pairs even = bits(acc[m][n]), odd = bits(acc[m + 1][n]);
      if (s.dweight)
        *reinterpret_cast<LooseNumbers*>(across(panel, tile) + m / 2 * SPAN + n * LANES) = even | odd << 16;
      if (s.dh) {
        uint16_t* narrow = reinterpret_cast<uint16_t*>(along(panel, tile)) + m * SPAN + n * LANES;
        *reinterpret_cast<Narrow*>(narrow) = __builtin_convertvector(even, Narrow);
        *reinterpret_cast<Narrow*>(narrow + SPAN) = __builtin_convertvector(odd, Narrow);
      }
    }
#else
    UNROLL for (int m = 0; m < ROWS; m++) UNROLL for (int n = 0; n < WIDE; n++)
      store(across(panel, tile) + m * SPAN + n * LANES, operand(acc[m][n]), LANES);
#endif
  }

  // dh += exponentials x weight, of the panels of words [from, to).
  void add_dh(int64_t from, int64_t to) const {
    const Cut cut(s.size);
    for (int64_t unit = 0; unit < cut.count; unit++) {
      const int64_t v0 = cut.first(unit), rows = (to - from) * SPAN;
      pack_columns(room.words, s.weight + from * SPAN * s.size, s.size, rows, s.words - from * SPAN, cut, v0,
                   cut.width(unit), nullptr);
      of_width(cut.width(unit), [&](auto width) {
        constexpr int N = decltype(width)::value;
        for (int64_t tile = first; tile < last; tile++) {
          V acc[ROWS][N] = {};
          product<SPAN / STEP, 1, N>(along(from, tile), PAIRED ? TILE : tiles * TILE, to - from, SPAN / STEP, room.words,
                                     acc);
          const int64_t there = std::min<int64_t>(ROWS, count - tile * ROWS);
          for (int m = 0; m < there; m++)
            for (int n = 0; n < N; n++) {
              const int lanes = cut.lanes(v0 + n);
              real* at = s.dh + (begin + tile * ROWS + m) * s.size + (v0 + n) * LANES;
              store(at, from ? load(at, lanes) + acc[m][n] : acc[m][n], lanes);
            }
        }
      });
    }
  }

  void forward() const {
    const int64_t depth = ceil_of(s.size, STEP), panels = ceil_of(s.words, SPAN);
    for (int64_t tile = first; tile < last; tile++)
      pack_rows(room.h + (tile - first) * depth * ROWS, ROWS, s.h + (begin + tile * ROWS) * s.size, s.size, s.size,
                count - tile * ROWS);
    for (int64_t panel = 0; panel < panels; panel++) {
      const int64_t there = std::min<int64_t>(SPAN, s.words - panel * SPAN);
      pack_rows(room.words, SPAN, s.weight + panel * SPAN * s.size, s.size, s.size, there);
      V bias[WIDE];
      for (int i = 0; i < SPAN; i++)
        bias[i / LANES][i % LANES] = i < there ? s.bias[panel * SPAN + i] : -std::numeric_limits<real>::infinity();
      for (int64_t tile = first; tile < last; tile++) {
        V acc[ROWS][WIDE];
        UNROLL for (int m = 0; m < ROWS; m++) UNROLL for (int n = 0; n < WIDE; n++) acc[m][n] = bias[n];
        product<1, ROWS, WIDE>(room.h + (tile - first) * depth * ROWS, 0, 1, depth, room.words, acc);
        exponentials(panel, tile, acc);
      }
      if (s.dh && (panel % DEPTH == DEPTH - 1 || panel == panels - 1)) add_dh(panel / DEPTH * DEPTH, panel + 1);
    }
    for (int64_t row = first * ROWS; row < std::min(count, last * ROWS); row++) finish(row);
    if (s.dweight) {
      for (int64_t row = std::max(count, first * ROWS); row < last * ROWS; row++) room.share[row] = 0;
      const Cut cut(s.size);
      for (int64_t unit = 0; unit < cut.count; unit++) {
        const int64_t v0 = cut.first(unit), row = first * ROWS;
        Number* to = room.turned + (v0 * tiles + cut.width(unit) * first) * (ROWS / STEP) * LANES;
        pack_columns(to, s.h + (begin + row) * s.size, s.size, (last - first) * ROWS, count - row, cut, v0,
                     cut.width(unit), room.share + row);
      }
    }
  }

  void finish(int64_t row) const {
    const int64_t at = begin + row, gold = s.targets[at];
    const real total = sum_of(room.total[row]), factor = real(s.factor), share = factor / total;
    room.share[row] = share;
    s.logs[at] -= std::log(total) + room.top[row];
    if (!s.dh) return;
    real* dh = s.dh + at * s.size;
    const real* written = s.weight + gold * s.size;
    for (int64_t i = 0; i < s.size; i++) dh[i] = dh[i] * share - written[i] * factor;
  }
};

// dweight and dbias of the panels of words [low, high), from one block of rows.
static void words_part(const Softmax& s, const Room& room, int64_t begin, int64_t count, int64_t low, int64_t high) {
  const int64_t tiles = ceil_of(count, ROWS);
  const Cut cut(s.size);
  for (int64_t panel = low; panel < high; panel++) {
    const int64_t there = std::min<int64_t>(SPAN, s.words - panel * SPAN);
    const Number* e = room.across + panel * tiles * TILE;
    V db[WIDE] = {};
    for (int64_t i = 0; i < tiles * ROWS / STEP; i++)
      for (int n = 0; n < WIDE; n++) {
        const Numbers x = *reinterpret_cast<const LooseNumbers*>(e + i * SPAN + n * LANES);
#if PAIRED
        db[n] += (V)(x << 16) * room.share[2 * i] + (V)(x & 0xffff0000) * room.share[2 * i + 1];
#else
        db[n] += x * room.share[i];
#endif
      }
    for (int i = 0; i < there; i++)
      s.dbias[panel * SPAN + i] = db[i / LANES][i % LANES] + (begin ? s.dbias[panel * SPAN + i] : 0);
    for (int64_t unit = 0; unit < cut.count; unit++) {
      const int64_t v0 = cut.first(unit);
      of_width(cut.width(unit), [&](auto width) {
        constexpr int N = decltype(width)::value;
        const Number* B = room.turned + v0 * tiles * (ROWS / STEP) * LANES;
        for (int64_t word = 0; word < there; word += ROWS) {
          V acc[ROWS][N] = {};
          product<1, SPAN, N>(e + word, TILE, tiles, ROWS / STEP, B, acc);
          for (int m = 0; m < std::min<int64_t>(ROWS, there - word); m++)
            for (int n = 0; n < N; n++) {
              const int lanes = cut.lanes(v0 + n);
              real* at = s.dweight + (panel * SPAN + word + m) * s.size + (v0 + n) * LANES;
              store(at, begin ? load(at, lanes) + acc[m][n] : acc[m][n], lanes);
            }
        }
      });
    }
  }
  const real factor = real(s.factor);
  for (int64_t row = begin; row < begin + count; row++) {
    const int64_t gold = s.targets[row];
    if (gold < low * SPAN || gold >= high * SPAN) continue;
    s.dbias[gold] -= factor;
    for (int64_t i = 0; i < s.size; i++) s.dweight[gold * s.size + i] -= s.h[row * s.size + i] * factor;
  }
}

}  // namespace

extern "C" {

int elman_softmax_rows() { return ROWS; }

int64_t elman_softmax_room(const Softmax* s, int threads) { return Room(*s, threads - 1, threads).bytes; }

void elman_softmax(const Softmax* call, int threads) {
  const Softmax& s = *call;
  for (int64_t begin = 0; begin < s.rows; begin += s.block) {
    const int64_t count = std::min(s.block, s.rows - begin), tiles = ceil_of(count, ROWS);
    in_threads(threads, [&](int i) {
      FlushDenormals flush;
      const Room room(s, i, threads);
      Rows{s, room, begin, count, tiles, tiles * i / threads, tiles * (i + 1) / threads}.forward();
    });
    if (!s.dweight) continue;
    const int64_t panels = ceil_of(s.words, SPAN);
    in_threads(threads, [&](int i) {
      FlushDenormals flush;
      const Room room(s, i, threads);
      words_part(s, room, begin, count, panels * i / threads, panels * (i + 1) / threads);
    });
  }
}

}
