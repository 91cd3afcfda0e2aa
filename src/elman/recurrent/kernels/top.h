// The likeliest words of rows of logits: the sum of exponentials and the highest numbers in one pass each.
#include "tiles.h"

namespace {

static void top_of(const real* x, int64_t words, int64_t first, int64_t count, real* values, int64_t* ids) {
  const real least = -std::numeric_limits<real>::infinity();
  std::fill(values, values + count, least);
  std::fill(ids, ids + count, first);
  V highest = all(least);
  auto insert = [&](real value, int64_t id) {  // of equal ones the first stays ahead
    int64_t at = count;
    for (; at > 0 && value > values[at - 1]; at--)
      if (at < count) values[at] = values[at - 1], ids[at] = ids[at - 1];
    if (at < count) values[at] = value, ids[at] = id;
  };
  for (int64_t k = 0; k < words; k += LANES) {
    const int lanes = lanes_of(words - k);
    V v = load(x + k, lanes);
    for (int i = lanes; i < LANES; i++) v[i] = least;
    highest = vmax(highest, v);
    const I above = v > all(values[count - 1]);
    bool any = false;
    for (int i = 0; i < LANES; i++) any |= above[i] != 0;
    if (any)
      for (int i = 0; i < lanes; i++)
        if (k + i >= first && x[k + i] > values[count - 1]) insert(x[k + i], k + i);
  }
  const real top = largest(highest);
  V sum{};
  for (int64_t k = 0; k < words; k += LANES) {
    const int lanes = lanes_of(words - k);
    V v = vexp(load(x + k, lanes) - top);
    for (int i = lanes; i < LANES; i++) v[i] = 0;
    sum += v;
  }
  const real total = top + std::log(sum_of(sum));
  for (int64_t i = 0; i < count; i++) values[i] -= total;
}

}  // namespace

// logits (rows, words) -> of the words from `first` on the `count` likeliest, best first: their log-probabilities among all
// words (rows, count), and their ids.
extern "C" void elman_top(const real* logits, int64_t rows, int64_t words, int64_t first, int64_t count, real* values,
                          int64_t* ids, int threads) {
  in_threads(threads, [&](int thread) {
    for (int64_t i = thread * rows / threads, last = (thread + 1) * rows / threads; i < last; i++)
      top_of(logits + i * words, words, first, count, values + i * count, ids + i * count);
  });
}
