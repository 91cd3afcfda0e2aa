//@ +weight_float32
typedef float weight;
static inline float number(weight w) { return w; }

//@ +weight_bfloat16
typedef uint16_t weight;  // the upper half of a float
static inline float number(weight w) {
  const uint32_t bits = (uint32_t)w << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

//@ +weight_int8
typedef int8_t weight;  // times the scale of its row
static inline float number(weight w) { return (float)w; }

//@ table read_row
// A vector for each item.
typedef struct {
  const weight *w;  // (rows, width)
@int8|  const float *scale;  // (rows,)
  size_t rows, width;
} table;

static void read_row(const table *t, size_t row, float *out) {
@int8|  const float scale = t->scale[row];
@int8|  for (size_t j = 0; j < t->width; j++) out[j] = scale * number(t->w[row * t->width + j]);
@other|  for (size_t j = 0; j < t->width; j++) out[j] = number(t->w[row * t->width + j]);
}

//@ matrix
// A map from `in` numbers to `out`, a multiple of TILE: its tiles of TILE columns one after another, each row by row.
enum { TILE = 32 };
typedef struct {
  const weight *w;  // (out / TILE, in, TILE)
@int8|  const float *scale;  // (in,)
  size_t in, out;
} matrix;

//@ read_column
static void read_column(const matrix *m, size_t column, float *out) {
  const weight *w = m->w + column / TILE * m->in * TILE + column % TILE;
@int8|  for (size_t k = 0; k < m->in; k++) out[k] = m->scale[k] * number(w[k * TILE]);
@other|  for (size_t k = 0; k < m->in; k++) out[k] = number(w[k * TILE]);
}

//@ vec
// As many floats as a register holds; without GCC or Clang, one.
#if defined(__GNUC__)
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vec __attribute__((vector_size(LANES * 4)));
#define UNROLL _Pragma("GCC unroll 16")
#define ALWAYS inline __attribute__((always_inline))
#else
enum { LANES = 1 };
typedef float vec;
#define UNROLL
#define ALWAYS inline
#endif
enum { PARTS = TILE / LANES };

static inline vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float *p, vec v) { memcpy(p, &v, sizeof v); }

//@ product
// y = x W + b for one row: a tile of W is read once, two of its rows at a time.
static void product_of_row(const matrix *m, const float *b, const float *restrict x, float *restrict y) {
  const size_t in = m->in;
  for (size_t j = 0; j < m->out; j += TILE) {
    const weight *restrict w = m->w + j * in;
    float even[TILE], odd[TILE];
    for (size_t l = 0; l < TILE; l++) even[l] = 0.0f;
    for (size_t l = 0; l < TILE; l++) odd[l] = 0.0f;
    size_t k = 0;
    for (; k + 2 <= in; k += 2, w += 2 * TILE) {
@int8|      const float p = x[k] * m->scale[k], q = x[k + 1] * m->scale[k + 1];
@other|      const float p = x[k], q = x[k + 1];
      for (size_t l = 0; l < TILE; l++) even[l] += p * number(w[l]);
      for (size_t l = 0; l < TILE; l++) odd[l] += q * number(w[TILE + l]);
    }
    if (k < in) {
@int8|      const float p = x[k] * m->scale[k];
@other|      const float p = x[k];
      for (size_t l = 0; l < TILE; l++) even[l] += p * number(w[l]);
    }
    if (b != NULL)
      for (size_t l = 0; l < TILE; l++) y[j + l] = even[l] + odd[l] + b[j + l];
    else
      for (size_t l = 0; l < TILE; l++) y[j + l] = even[l] + odd[l];
  }
}

// y += x W for so many rows of x and one tile of W, whose numbers are read once; the sums stay in registers.
static ALWAYS void add_rows(int rows, const float *restrict w, size_t in, const float *restrict x, size_t x_width,
                            float *restrict y, size_t y_width) {
  vec sum[6][PARTS];
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int p = 0; p < PARTS; p++) sum[r][p] = load(y + (size_t)r * y_width + (size_t)p * LANES);
  for (size_t k = 0; k < in; k++, w += TILE) {
    vec part[PARTS];
    UNROLL for (int p = 0; p < PARTS; p++) part[p] = load(w + (size_t)p * LANES);
    UNROLL for (int r = 0; r < rows; r++) {
      const float value = x[(size_t)r * x_width + k];
      UNROLL for (int p = 0; p < PARTS; p++) sum[r][p] += value * part[p];
    }
  }
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int p = 0; p < PARTS; p++) store(y + (size_t)r * y_width + (size_t)p * LANES, sum[r][p]);
}

// y (rows, m->out) = x W + b; without b, x W. x: rows of m->in numbers, x_width apart.
static void product(const matrix *m, const float *b, const float *x, size_t x_width, size_t rows, float *y) {
  if (rows == 1) {
    product_of_row(m, b, x, y);
    return;
  }
  for (size_t i = 0; i < rows; i++) {
    if (b != NULL)
      memcpy(y + i * m->out, b, m->out * sizeof *y);
    else
      memset(y + i * m->out, 0, m->out * sizeof *y);
  }
  enum { DEEP = 256 };  // so many rows of a tile stay in the nearest cache
@small|  float unpacked[DEEP * TILE];
  for (size_t j = 0; j < m->out; j += TILE)
    for (size_t k = 0; k < m->in; k += DEEP) {
      const size_t deep = m->in - k < DEEP ? m->in - k : DEEP;
@float32|      const float *w = m->w + j * m->in + k * TILE;
@small|      const weight *packed = m->w + j * m->in + k * TILE, *const w_end = packed + deep * TILE;
@small|      float *unpacking = unpacked;
@int8|      for (size_t d = 0; packed < w_end; d++, packed += TILE, unpacking += TILE)
@int8|        for (size_t l = 0; l < TILE; l++) unpacking[l] = m->scale[k + d] * number(packed[l]);
@bfloat16|      for (; packed < w_end; packed += TILE, unpacking += TILE)
@bfloat16|        for (size_t l = 0; l < TILE; l++) unpacking[l] = number(packed[l]);
@small|      const float *w = unpacked;
      size_t i = 0;
      for (; i + 6 <= rows; i += 6)
        add_rows(6, w, deep, x + i * x_width + k, x_width, y + i * m->out + j, m->out);
      const float *rest = x + i * x_width + k;
      float *sums = y + i * m->out + j;
      switch (rows - i) {
        case 5: add_rows(5, w, deep, rest, x_width, sums, m->out); break;
        case 4: add_rows(4, w, deep, rest, x_width, sums, m->out); break;
        case 3: add_rows(3, w, deep, rest, x_width, sums, m->out); break;
        case 2: add_rows(2, w, deep, rest, x_width, sums, m->out); break;
        case 1: add_rows(1, w, deep, rest, x_width, sums, m->out); break;
        default: break;
      }
    }
}

//@ affine
// y (rows, outputs), closely packed. The product's rows are wider, by what fills the last tile.
static int affine(arena *a, const matrix *m, const float *b, const float *x, size_t rows, size_t outputs, float *y) {
  float *wide;
  if (outputs == m->out) {
    product(m, b, x, m->in, rows, y);
    return ELMAN_OK;
  }
  TAKE(a, wide, rows * m->out);
  product(m, b, x, m->in, rows, wide);
  for (size_t i = 0; i < rows; i++) memcpy(y + i * outputs, wide + i * m->out, outputs * sizeof *y);
  return ELMAN_OK;
}
