//@ packing
// Sequences of different lengths without padding: the rows of step 0 of all, then of step 1, the longest first.
typedef struct {
  size_t sequences, steps, rows;
  size_t *order;    // (sequences,): the longest first
  size_t *length;   // (sequences,): in that order
  size_t *running;  // (steps,): how many sequences have this step
  size_t *first;    // (steps,): where its rows begin
} packing;

typedef struct {
  size_t length, number;
} sized;

static int longer(const void *a, const void *b) {
  const sized *x = a, *y = b;
  if (x->length != y->length) return x->length < y->length ? 1 : -1;
  return x->number < y->number ? -1 : 1;
}

static int pack(arena *a, const size_t *lengths, size_t count, packing *p) {
  sized *sorted;
  TAKE(a, sorted, count);
  for (size_t i = 0; i < count; i++) sorted[i] = (sized){lengths[i], i};
  if (count > 1) qsort(sorted, count, sizeof *sorted, longer);
  p->sequences = count;
  p->steps = count == 0 ? 0 : sorted[0].length;
  TAKE(a, p->order, count);
  TAKE(a, p->length, count);
  TAKE(a, p->running, p->steps);
  TAKE(a, p->first, p->steps);
  for (size_t i = 0; i < count; i++) p->order[i] = sorted[i].number, p->length[i] = sorted[i].length;
  size_t running = count;
  p->rows = 0;
  for (size_t t = 0; t < p->steps; t++) {
    while (sorted[running - 1].length <= t) running--;
    p->running[t] = running;
    p->first[t] = p->rows;
    p->rows += running;
  }
  return ELMAN_OK;
}

//@ distinct
static uint64_t hash_of(const word *w) {
  uint64_t h = w->length;
  for (size_t i = 0; i < w->length; i++) h = (h ^ w->at[i]) * UINT64_C(0x9e3779b97f4a7c15), h ^= h >> 32;
  return h;
}

static int same_word(const word *a, const word *b) {
  return a->length == b->length && memcmp(a->at, b->at, a->length * sizeof *a->at) == 0;
}

// Every word once: index (count,) says which of them it is.
static int distinct(arena *a, const word *words, size_t count, uint32_t *index, word **each, size_t *different) {
  size_t slots = 16;
  while (slots < 2 * count) slots *= 2;
  uint32_t *slot;
  TAKE(a, slot, slots);
  TAKE(a, *each, count);
  memset(slot, 0, slots * sizeof *slot);
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    size_t at = hash_of(&words[i]) & (slots - 1);
    while (slot[at] != 0 && !same_word(&(*each)[slot[at] - 1], &words[i])) at = (at + 1) & (slots - 1);
    if (slot[at] == 0) {
      (*each)[n++] = words[i];
      slot[at] = (uint32_t)n;
    }
    index[i] = slot[at] - 1;
  }
  *different = n;
  return ELMAN_OK;
}

//@ remembered
// Rows that depend on a word alone. In each set of WAYS they are counted as they are asked for; where none is free, a
// new word lowers all counts by one, and takes a place whose count is 0: rare words do not drive out frequent ones.
enum { WAYS = 8, KEY = 24, MOST_ASKED = 15 };  // longer words are not kept
typedef struct {
  size_t width, slots;
  float *rows;    // (slots, width)
  uint32_t *key;  // (slots, KEY)
  unsigned char *length, *asked;
} remembered;

static int open_remembered(remembered *r, size_t width, size_t bytes, size_t most) {
  size_t slots = bytes / (width * sizeof(float) + KEY * sizeof(uint32_t) + 2);
  if (slots > most) slots = most;
  *r = (remembered){.width = width, .slots = slots / WAYS * WAYS};
  if (r->slots == 0) return ELMAN_OK;
  r->rows = malloc(r->slots * width * sizeof(float));
  r->key = malloc(r->slots * KEY * sizeof(uint32_t));
  r->length = calloc(r->slots, 1);
  r->asked = calloc(r->slots, 1);
  return r->rows && r->key && r->length && r->asked ? ELMAN_OK : ELMAN_MEMORY;
}

static void close_remembered(remembered *r) {
  free(r->rows);
  free(r->key);
  free(r->length);
  free(r->asked);
}

static size_t set_of(const remembered *r, const word *w) {
  return (size_t)(hash_of(w) >> 7) % (r->slots / WAYS) * WAYS;
}

static const float *recall(remembered *r, const word *w) {
  if (r->slots == 0 || w->length > KEY) return NULL;
  const size_t set = set_of(r, w);
  for (size_t i = set; i < set + WAYS; i++)
    if (r->length[i] == w->length && memcmp(r->key + i * KEY, w->at, w->length * sizeof *w->at) == 0) {
      if (r->asked[i] < MOST_ASKED) r->asked[i]++;
      return r->rows + i * r->width;
    }
  return NULL;
}

static void remember(remembered *r, const word *w, const float *row) {
  if (r->slots == 0 || w->length > KEY || w->length == 0) return;
  const size_t set = set_of(r, w);
  size_t chosen = set;
  while (chosen < set + WAYS && r->asked[chosen] != 0) chosen++;
  if (chosen == set + WAYS) {
    for (size_t i = set; i < set + WAYS; i++) r->asked[i]--;
    return;
  }
  r->length[chosen] = (unsigned char)w->length;
  r->asked[chosen] = 1;
  memcpy(r->key + chosen * KEY, w->at, w->length * sizeof *w->at);
  memcpy(r->rows + chosen * r->width, row, r->width * sizeof *row);
}

//@ direction
// A cell that reads a sequence. `state` (fields, hidden), `seen` (delays, hidden), `output`: before the first step.
typedef struct {
  // one row: x (gates, hidden), r (recurrent, hidden), p (vectors, hidden), s the state, changed in place
  void (*step)(const float *x, const float *r, const float *p, float *s, float *y, float *q);
  size_t hidden, fields, recurrent, delays;
  size_t column;  // where its gates begin in a row of x
  int reverse;
  const matrix *U;
  const float *p, *state, *seen, *output;
} direction;

static void begin(const direction *d, size_t sequences, float *state, float *seen) {
  for (size_t i = 0; i < sequences; i++) {
    memcpy(state + i * d->fields * d->hidden, d->state, d->fields * d->hidden * sizeof *state);
    if (d->recurrent) memcpy(seen + i * d->delays * d->hidden, d->seen, d->delays * d->hidden * sizeof *seen);
  }
}

// All steps of all sequences. x: rows `x_width` apart, of which each step reads that of its `index`, or with NULL its
// own; y: rows `y_width` apart; with `ends`, each sequence has one row only, which keeps its last output.
static int run(arena *a, const direction *d, const packing *p, const float *x, size_t x_width, const uint32_t *index,
               float *state, float *seen, float *y, size_t y_width, int ends) {
  const size_t hidden = d->hidden, back = d->delays * hidden, gates = d->recurrent ? d->U->out : 0;
  float *r = NULL, *q;
  TAKE(a, q, hidden);
  if (d->recurrent) TAKE(a, r, p->sequences * gates);
  for (size_t step = 0; step < p->steps; step++) {
    const size_t t = d->reverse ? p->steps - 1 - step : step, running = p->running[t];
    if (d->recurrent) product(d->U, NULL, seen, back, running, r);
    for (size_t i = 0; i < running; i++) {
      const size_t row = p->first[t] + i;
      const float *xs = x + (index == NULL ? row : index[row]) * x_width + d->column;
      float *ys = y + (ends ? i : row) * y_width;
      d->step(xs, r == NULL ? NULL : r + i * gates, d->p, state + i * d->fields * hidden, ys, q);
      if (d->recurrent) {
        float *before = seen + i * back;
        if (d->delays > 1) memmove(before + hidden, before, (back - hidden) * sizeof *before);
        memcpy(before, q, hidden * sizeof *before);
      }
    }
  }
  return ELMAN_OK;
}

//@ fresh
// A direction from its beginning.
static int fresh(arena *a, const direction *d, const packing *p, const float *x, size_t x_width,
                 const uint32_t *index, float *y, size_t y_width) {
  float *state, *seen;
  TAKE(a, state, p->sequences * d->fields * d->hidden);
  TAKE(a, seen, p->sequences * d->delays * d->hidden);
  begin(d, p->sequences, state, seen);
  return run(a, d, p, x, x_width, index, state, seen, y, y_width, 0);
}

//@ ends_of
// The ends alone.
static int ends_of(arena *a, const direction *d, const packing *p, const float *x, size_t x_width,
                   const uint32_t *index, float *end, size_t end_width) {
  float *state, *seen;
  TAKE(a, state, p->sequences * d->fields * d->hidden);
  TAKE(a, seen, p->sequences * d->delays * d->hidden);
  begin(d, p->sequences, state, seen);
  for (size_t i = 0; i < p->sequences; i++) memcpy(end + i * end_width, d->output, d->hidden * sizeof *end);
  return run(a, d, p, x, x_width, index, state, seen, end, end_width, 1);
}

//@ final
// The last output of each sequence, from the outputs of all steps.
static void final(const direction *d, const packing *p, const float *y, size_t y_width, float *end, size_t end_width) {
  for (size_t i = 0; i < p->sequences; i++) {
    const float *row = d->output;
    if (p->length[i]) row = y + (p->first[d->reverse ? 0 : p->length[i] - 1] + i) * y_width;
    memcpy(end + i * end_width, row, d->hidden * sizeof *end);
  }
}

//@ spelling
// A vector for each word from its characters: the ends of a recurrence over their vectors.
typedef struct {
  const strings *items;
  const table *vectors;
  const matrix *W;
  const float *b;
  const direction *directions[2];
  size_t count, longest;
} spelling;

static int spell(arena *a, const spelling *s, const word *words, size_t count, float *x, size_t x_width) {
  size_t *lengths, different;
  word *spelled, *letters, *each;
  uint32_t *index;
  packing p;
  TAKE(a, spelled, count);
  TAKE(a, lengths, count);
  for (size_t i = 0; i < count; i++) {
    TRY(cut(a, &words[i], s->longest, &spelled[i]));
    lengths[i] = spelled[i].length;
  }
  TRY(pack(a, lengths, count, &p));
  TAKE(a, letters, p.rows);
  TAKE(a, index, p.rows);
  for (size_t t = 0; t < p.steps; t++)
    for (size_t i = 0; i < p.running[t]; i++) letters[p.first[t] + i] = (word){spelled[p.order[i]].at + t, 1};
  TRY(distinct(a, letters, p.rows, index, &each, &different));
  float *vectors, *rows, *end;
  TAKE(a, vectors, different * s->vectors->width);
  TAKE(a, rows, different * s->W->out);
  for (size_t i = 0; i < different; i++)
    read_row(s->vectors, row_of(s->items, &each[i]), vectors + i * s->vectors->width);
  product(s->W, s->b, vectors, s->vectors->width, different, rows);
  for (size_t k = 0; k < s->count; k++) {
    const direction *d = s->directions[k];
    TAKE(a, end, count * d->hidden);
    TRY(ends_of(a, d, &p, rows, s->W->out, index, end, d->hidden));
    for (size_t i = 0; i < count; i++) memcpy(x + p.order[i] * x_width, end + i * d->hidden, d->hidden * sizeof *x);
    x += d->hidden;
  }
  return ELMAN_OK;
}

//@ spelled_ends
// The vectors of the first `length` characters, then of the last ones, from the ends inwards; zeros beyond a word.
static int spelled_ends(arena *a, const strings *items, const table *vectors, size_t longest, size_t length,
                        const word *w, float *x) {
  word spelled;
  TRY(cut(a, w, longest, &spelled));
  for (size_t k = 0; k < 2 * length; k++, x += vectors->width) {
    const size_t i = k < length ? k : k - length;
    if (i >= spelled.length) {
      memset(x, 0, vectors->width * sizeof *x);
      continue;
    }
    const word letter = {spelled.at + (k < length ? i : spelled.length - 1 - i), 1};
    read_row(vectors, row_of(items, &letter), x);
  }
  return ELMAN_OK;
}

//@ neighbours
// Each step sees those before and after it side by side; zeros beyond the ends.
static void neighbours(const packing *p, const float *x, size_t width, size_t before, size_t after,
                       const uint32_t *index, float *y) {
  const size_t each = before + 1 + after;
  for (size_t t = 0; t < p->steps; t++)
    for (size_t i = 0; i < p->running[t]; i++)
      for (size_t k = 0; k < each; k++) {
        float *to = y + ((p->first[t] + i) * each + k) * width;
        if (t + k < before || t + k - before >= p->steps || i >= p->running[t + k - before]) {
          memset(to, 0, width * sizeof *to);
          continue;
        }
        const size_t row = p->first[t + k - before] + i;
        memcpy(to, x + (index == NULL ? row : index[row]) * width, width * sizeof *to);
      }
}

//@ spread
// The row of each step, from those of its index.
static void spread(const packing *p, const float *x, size_t width, const uint32_t *index, float *y) {
  for (size_t i = 0; i < p->rows; i++) memcpy(y + i * width, x + index[i] * width, width * sizeof *y);
}

//@ tanh_all
static void tanh_all(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = fast_tanh(x[i]);
}

//@ relu_all
static void relu_all(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = x[i] < 0.0f ? 0.0f : x[i];
}

//@ add_all
static void add_all(const float *x, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) y[i] += x[i];
}

//@ log_of_sum
// The largest of the numbers, and log(sum exp(x)).
static float log_of_sum(const float *x, size_t count) {
  float most = x[0], part[16] = {0};
  for (size_t i = 1; i < count; i++) most = x[i] > most ? x[i] : most;
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (size_t k = 0; k < 16; k++) part[k] += fast_exp(x[i + k] - most);
  double sum = 0.0;
  for (; i < count; i++) sum += (double)fast_exp(x[i] - most);
  for (size_t k = 0; k < 16; k++) sum += (double)part[k];
  return most + (float)log(sum);
}

//@ highest
// The first of the highest.
static size_t highest(const float *x, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

//@ chain
// How labels follow each other, in double.
typedef struct {
  const double *start, *transitions, *end;  // (labels,), (labels, labels) [from, to], (labels,)
} chain;

static size_t best_of(const double *x, const double *y, size_t stride, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (x[i] + y[i * stride] > x[best] + y[best * stride]) best = i;
  return best;
}

// The labels with the highest start + scores + transitions + end (Viterbi 1967); of equal paths that with the lowest
// label, from the last step to the first. scores: rows `of` (steps,); softmax: they are made log-probabilities first.
static int best_path(arena *a, const chain *c, const float *scores, size_t labels, const size_t *of, size_t steps,
                     int softmax, int *path) {
  double *alpha;
  if (steps == 0) return ELMAN_OK;
  TAKE(a, alpha, steps * labels);
  for (size_t t = 0; t < steps; t++) {
    const float *row = scores + of[t] * labels;
    const float total = softmax ? log_of_sum(row, labels) : 0.0f;
    double *now = alpha + t * labels;
    if (t == 0) {
      for (size_t j = 0; j < labels; j++) now[j] = c->start[j];
    } else {
      const double *before = now - labels;
      for (size_t j = 0; j < labels; j++) now[j] = before[0] + c->transitions[j];
      for (size_t i = 1; i < labels; i++) {
        const double *restrict next = c->transitions + i * labels;
        const double value = before[i];
        for (size_t j = 0; j < labels; j++) now[j] = value + next[j] > now[j] ? value + next[j] : now[j];
      }
    }
    for (size_t j = 0; j < labels; j++) now[j] += (double)(row[j] - total);
  }
  size_t chosen = best_of(alpha + (steps - 1) * labels, c->end, 1, labels);
  path[steps - 1] = (int)chosen;
  for (size_t t = steps - 1; t > 0; t--) {
    chosen = best_of(alpha + (t - 1) * labels, c->transitions + chosen, labels, labels);
    path[t - 1] = (int)chosen;
  }
  return ELMAN_OK;
}

//@ slide
// One step's window: those before it, which are kept, then its own.
static void slide(float *kept, size_t before, const float *x, size_t width, float *y) {
  if (before) memcpy(y, kept, before * sizeof *y);
  memcpy(y + before, x, width * sizeof *y);
  if (before) memmove(kept, y + width, before * sizeof *y);
}

//@ pool_max
static void pool_max(const packing *p, const float *x, size_t width, float *y) {
  memset(y, 0, p->sequences * width * sizeof *y);
  for (size_t t = 0; t < p->steps; t++)
    for (size_t i = 0; i < p->running[t]; i++) {
      const float *row = x + (p->first[t] + i) * width;
      float *most = y + i * width;
      for (size_t j = 0; j < width; j++) most[j] = t == 0 || row[j] > most[j] ? row[j] : most[j];
    }
}

//@ pool_mean
static void pool_mean(const packing *p, const float *x, size_t width, float *y) {
  memset(y, 0, p->sequences * width * sizeof *y);
  for (size_t t = 0; t < p->steps; t++)
    for (size_t i = 0; i < p->running[t]; i++) {
      const float *row = x + (p->first[t] + i) * width;
      for (size_t j = 0; j < width; j++) y[i * width + j] += row[j];
    }
  for (size_t i = 0; i < p->sequences; i++)
    for (size_t j = 0; p->length[i] && j < width; j++) y[i * width + j] /= (float)p->length[i];
}

//@ pool_weighted
// The mean weighted by softmax(score . hidden) over the steps. The weights are found with the largest score so far.
static void pool_weighted(const packing *p, const float *x, size_t width, const float *hidden, const float *score,
                          size_t size, float *y) {
  memset(y, 0, p->sequences * width * sizeof *y);
  for (size_t i = 0; i < p->sequences; i++) {
    float most = 0.0f, total = 0.0f;
    for (size_t t = 0; t < p->length[i]; t++) {
      const size_t row = p->first[t] + i;
      float own = 0.0f;
      for (size_t j = 0; j < size; j++) own += hidden[row * size + j] * score[j];
      const float before = t == 0 ? 0.0f : own > most ? fast_exp(most - own) : 1.0f;
      most = t == 0 || own > most ? own : most;
      const float weight = fast_exp(own - most);
      total = total * before + weight;
      for (size_t j = 0; j < width; j++) y[i * width + j] = y[i * width + j] * before + weight * x[row * width + j];
    }
    for (size_t j = 0; p->length[i] && j < width; j++) y[i * width + j] /= total;
  }
}
