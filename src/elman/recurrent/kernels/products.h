// Products of matrices in bfloat16, with sums and results in float. See docs/engine.md.
#include "tiles.h"

extern "C" int elman_product_paired() { return PAIRED; }

#if PAIRED
namespace {

struct Side {        // of a product: element (i, k), k along the sum, at i * stride + k; turned: at k * stride + i
  const void* data;
  int64_t stride, turned, narrow;  // narrow: the numbers are bfloat16, not float
};

struct Product {     // out (rows, columns) = left (rows, depth) right (depth, columns) + bias (columns,), if not null
  int64_t rows, columns, depth;
  Side left, right;  // right: i is the column
  const real* bias;
  real* out;
  int64_t out_stride;
  char* room;        // as many bytes as elman_product_room says
};

constexpr int64_t DEEPEST = 1024;  // numbers along the sum in a pass, so that both sides' panels stay in cache

// All of the left side in panels of ROWS, or of SPAN if it is turned; of the right side one panel per thread.
struct Room {
  Number *left, *right;
  int64_t bytes = 0;
  Room(const Product& p, int thread) {
    auto take = [&](Number*& to, int64_t count) {
      to = reinterpret_cast<Number*>(p.room + bytes);
      bytes += ceil_of(count * int64_t(sizeof(Number)), 64) * 64;
    };
    take(left, ceil_of(p.rows, SPAN) * SPAN * ceil_of(p.depth, STEP));
    for (int i = 0; i <= thread; i++) take(right, SPAN * ceil_of(std::min(DEEPEST, p.depth), STEP));
  }
};

template <class T>
static void pack_left(const Product& p, const Room& room, int thread, int threads) {
  const T* from = static_cast<const T*>(p.left.data);
  const int64_t depth = ceil_of(p.depth, STEP);
  if (p.left.turned) {
    const Cut cut(p.rows);
    const int64_t panels = ceil_of(p.rows, SPAN);
    for (int64_t i = panels * thread / threads; i < panels * (thread + 1) / threads; i++)
      pack_columns(room.left + i * SPAN * depth, from, p.left.stride, depth * STEP, p.depth, cut, i * WIDE, WIDE, nullptr);
    return;
  }
  const int64_t tiles = ceil_of(p.rows, ROWS);
  for (int64_t i = tiles * thread / threads; i < tiles * (thread + 1) / threads; i++)
    pack_rows(room.left + i * ROWS * depth, ROWS, from + i * ROWS * p.left.stride, p.left.stride, p.depth, p.rows - i * ROWS);
}

// The panels of columns of one thread.
template <class T>
static void multiply(const Product& p, const Room& room, int thread, int threads) {
  const T* from = static_cast<const T*>(p.right.data);
  const Cut cut(p.columns);
  const int64_t depth = ceil_of(p.depth, STEP), tiles = ceil_of(p.rows, ROWS);
  for (int64_t panel = cut.count * thread / threads; panel < cut.count * (thread + 1) / threads; panel++)
    for (int64_t k = 0; k < depth; k += DEEPEST / STEP) {
      const int64_t v0 = cut.first(panel), numbers = std::min(DEEPEST / STEP, depth - k), begin = k * STEP;
      const int width = cut.width(panel);
      if (p.right.turned)
        pack_columns(room.right, from + begin * p.right.stride, p.right.stride, numbers * STEP, p.depth - begin, cut, v0, width,
                     nullptr);
      else
        pack_rows(room.right, width * LANES, from + v0 * LANES * p.right.stride + begin, p.right.stride,
                  std::min(DEEPEST, p.depth - begin), p.columns - v0 * LANES);
      of_width(width, [&](auto constant) {
        constexpr int N = decltype(constant)::value;
        for (int64_t tile = 0; tile < tiles; tile++) {
          V acc[ROWS][N] = {};
          if (p.left.turned)
            ::product<1, SPAN, N>(room.left + tile * ROWS / SPAN * SPAN * depth + k * SPAN + tile * ROWS % SPAN, 0, 1, numbers,
                                room.right, acc);
          else
            ::product<1, ROWS, N>(room.left + (tile * depth + k) * ROWS, 0, 1, numbers, room.right, acc);
          for (int m = 0; m < std::min<int64_t>(ROWS, p.rows - tile * ROWS); m++)
            for (int n = 0; n < N; n++) {
              const int lanes = cut.lanes(v0 + n);
              real* at = p.out + (tile * ROWS + m) * p.out_stride + (v0 + n) * LANES;
              V sum = acc[m][n];
              if (k) sum += load(at, lanes);
              else if (p.bias) sum += load(p.bias + (v0 + n) * LANES, lanes);
              store(at, sum, lanes);
            }
        }
      });
    }
}

}  // namespace

extern "C" {

int64_t elman_product_room(const Product* p, int threads) { return Room(*p, threads - 1).bytes; }

void elman_product(const Product* p, int threads) {
  in_threads(threads, [&](int i) {
    FlushDenormals flush;
    const Room room(*p, i);
    p->left.narrow ? pack_left<uint16_t>(*p, room, i, threads) : pack_left<real>(*p, room, i, threads);
  });
  in_threads(threads, [&](int i) {
    FlushDenormals flush;
    const Room room(*p, i);
    p->right.narrow ? multiply<uint16_t>(*p, room, i, threads) : multiply<real>(*p, room, i, threads);
  });
}

}
#endif
