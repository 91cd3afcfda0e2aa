//@ reading
typedef struct {
  word points, *tokens;
  size_t count;
} reading;

static int read_text(elman_context *c, const char *text, size_t bytes, reading *out) {
  arena *a = &c->kept;
  if (text == NULL && bytes > 0) return ELMAN_ARGUMENT;
  TRY(decode(a, text, bytes, &out->points));
@lowercase|  TRY(lower(a, &out->points, &out->points));
@subwords|  TRY(split_text(a, &c->model->subwords, &out->points, &out->tokens, &out->count));
@tokens|  TRY(split_text(a, &out->points, &out->tokens, &out->count));
@longest|  if (out->count > LONGEST) return ELMAN_LONG;
  return ELMAN_OK;
}

//@ +decide_tags
static size_t bytes_of(const uint32_t *points, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += points[i] < 0x80 ? 1 : points[i] < 0x800 ? 2 : points[i] < 0x10000 ? 3 : 4;
  return bytes;
}

// A label for each token of the text that is sequence `i`.
static int decide(elman_context *c, const packing *p, size_t i, const reading *r, const float *scores,
                  const char *text, elman_result *answer) {
  elman_token *tokens;
  TAKE(&c->kept, tokens, r->count);
@path|  int *path;
@path|  size_t *of;
@path|  TAKE(&c->scratch, path, r->count);
@path|  TAKE(&c->scratch, of, r->count);
@path|  for (size_t t = 0; t < r->count; t++) of[t] = p->first[t] + i;
@path|  TRY(best_path(&c->scratch, &c->model->path, scores, LABELS, of, r->count, PATH_SOFTMAX, path));
  const uint32_t *at = r->points.at;
  for (size_t t = 0; t < r->count; t++) {
    text += bytes_of(at, (size_t)(r->tokens[t].at - at));
    at = r->tokens[t].at + r->tokens[t].length;
    tokens[t].text = text;
    tokens[t].bytes = bytes_of(r->tokens[t].at, r->tokens[t].length);
@path|    tokens[t].label = path[t];
@best|    tokens[t].label = (int)highest(scores + (p->first[t] + i) * LABELS, LABELS);
    text += tokens[t].bytes;
  }
  *answer = (elman_result){r->count, tokens};
  return ELMAN_OK;
}

//@ add_wide
static int by_number(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

// Scores of the n-grams of a text, each counted once.
static int add_wide(elman_context *c, const reading *r, double *scores) {
  const elman_model *m = c->model;
  arena *a = &c->scratch;
@edges|  static const uint32_t opening[] = {'<', 's', '>'}, closing[] = {'<', '/', 's', '>'};
  word *row, gram;
  size_t n = 0, all = 0, known = 0;
  TAKE(a, row, r->count + 2);
@edges|  row[n++] = (word){opening, 3};
@edges|  for (size_t i = 0; i < r->count; i++) TRY(lower(a, &r->tokens[i], &row[n++]));
@edges|  row[n++] = (word){closing, 4};
@plain|  for (size_t i = 0; i < r->count; i++) row[n++] = r->tokens[i];
  for (size_t i = 0; i < n; i++) all += row[i].length + 1;
  uint32_t *joined, *found, *at;  // with a space between: an n-gram is a part of it
  size_t *start;
  TAKE(a, joined, all);
  TAKE(a, start, n + 1);
  TAKE(a, found, n * WIDE_ORDER);
  at = joined;
  for (size_t i = 0; i < n; i++) {
    start[i] = (size_t)(at - joined);
    memcpy(at, row[i].at, row[i].length * sizeof *at);
    at += row[i].length;
    *at++ = ' ';
  }
  start[n] = (size_t)(at - joined);
  for (size_t order = 1; order <= WIDE_ORDER; order++)
    for (size_t i = 0; i + order <= n; i++) {
      gram = (word){joined + start[i], start[i + order] - 1 - start[i]};
      const uint32_t number = find(&m->WIDE_ITEMS, &gram);
      if (number != NOWHERE) found[known++] = number;
    }
  if (known > 1) qsort(found, known, sizeof *found, by_number);
  float *weights;
  TAKE(a, weights, LABELS);
  for (size_t i = 0; i < known; i++) {
    if (i > 0 && found[i] == found[i - 1]) continue;
    read_row(&m->wide, found[i], weights);
    for (size_t j = 0; j < LABELS; j++) scores[j] += (double)weights[j];
  }
  return ELMAN_OK;
}

//@ +decide_labels
// The labels of the text that is sequence `i`.
static int decide(elman_context *c, const packing *p, size_t i, const reading *r, const float *scores,
                  const char *text, elman_result *answer) {
  (void)text;
  (void)p;
  int *labels;
  float *chances, *every;
  double *own, most, total = 0.0;
  TAKE(&c->kept, labels, LABELS);
  TAKE(&c->kept, chances, LABELS);
  TAKE(&c->kept, every, LABELS);
  TAKE(&c->scratch, own, LABELS);
  for (size_t j = 0; j < LABELS; j++) own[j] = (double)scores[i * LABELS + j];
@wide|  TRY(add_wide(c, r, own));
  size_t count = 0;
@several|  (void)most, (void)total;
@several|  for (size_t j = 0; j < LABELS; j++) {
@several|    every[j] = (float)(1.0 / (1.0 + exp(-own[j])));
@several|    if (!(every[j] > 0.5f)) continue;
@several|    size_t place = count++;  // the likeliest first
@several|    for (; place > 0 && chances[place - 1] < every[j]; place--) {
@several|      labels[place] = labels[place - 1];
@several|      chances[place] = chances[place - 1];
@several|    }
@several|    labels[place] = (int)j;
@several|    chances[place] = every[j];
@several|  }
@one|  most = own[0];
@one|  for (size_t j = 1; j < LABELS; j++) most = own[j] > most ? own[j] : most;
@one|  for (size_t j = 0; j < LABELS; j++) total += exp(own[j] - most);
@one|  for (size_t j = 0; j < LABELS; j++) every[j] = (float)(exp(own[j] - most) / total);
@one|  labels[0] = (int)highest(every, LABELS);
@one|  chances[0] = every[labels[0]];
@one|  count = 1;
  *answer = (elman_result){count, labels, chances, every, r->count};
  return ELMAN_OK;
}

//@ +restart
int elman_restart(elman_context *c) {
  if (c == NULL) return ELMAN_ARGUMENT;
  begin_all(c);
  return ELMAN_OK;
}

//@ +step_tags
int elman_step(elman_context *c, const char *text, size_t bytes, int *label) {
  if (c == NULL || label == NULL || (text == NULL && bytes > 0)) return ELMAN_ARGUMENT;
  static const size_t one = 1;
  packing p;
  word w;
  float *scores;
  reset(&c->kept);
  reset(&c->scratch);
  TRY(decode(&c->kept, text, bytes, &w));
  TRY(pack(&c->scratch, &one, 1, &p));
  TRY(step_network(c, &p, &w, &scores));
  *label = (int)highest(scores, LABELS);
  return ELMAN_OK;
}

//@ +next
// The scores after each of these tokens, which are read. At most AT_ONCE of them.
enum { AT_ONCE = 32 };
static int read_tokens(elman_context *c, const uint32_t *tokens, size_t count, float **scores) {
  packing p;
  word *words;
  reset(&c->scratch);
  TRY(pack(&c->scratch, &count, 1, &p));
  TAKE(&c->scratch, words, count);
  for (size_t i = 0; i < count; i++) words[i] = (word){tokens + i, 1};
  return network(c, &p, words, scores);
}

static int tokens_of(elman_context *c, const char *text, size_t bytes, uint32_t **tokens, size_t *count) {
  reading r;
  TRY(read_text(c, text, bytes, &r));
  TAKE(&c->kept, *tokens, r.count + 1);  // there is room for an end
  for (size_t i = 0; i < r.count; i++) (*tokens)[i] = row_of(&c->model->labels, &r.tokens[i]);
  *count = r.count;
  return ELMAN_OK;
}

int elman_answer(elman_context *c, const char *line, size_t bytes, elman_result *result) {
  if (c == NULL || result == NULL) return ELMAN_ARGUMENT;
  uint32_t *tokens, *read;
  size_t count;
  int *ids;
  float *logs, *scores;
  reset(&c->kept);
  TRY(tokens_of(c, line, bytes, &tokens, &count));
  tokens[count++] = ELMAN_END;
  TAKE(&c->kept, ids, count);
  TAKE(&c->kept, logs, count);
  TAKE(&c->kept, read, count);
@lines|  begin_all(c);
  read[0] = c->last;
  for (size_t i = 1; i < count; i++) read[i] = tokens[i - 1];
  c->last = ELMAN_END;
  double total = 0.0;
  for (size_t first = 0; first < count; first += AT_ONCE) {
    const size_t n = count - first < AT_ONCE ? count - first : AT_ONCE;
    TRY(read_tokens(c, read + first, n, &scores));
    for (size_t i = 0; i < n; i++, scores += LABELS) {
      const uint32_t next = tokens[first + i];
      ids[first + i] = (int)next;
      logs[first + i] = scores[next] - log_of_sum(scores, LABELS);
      total += (double)logs[first + i];
    }
  }
  *result = (elman_result){count, ids, logs, total};
  return ELMAN_OK;
}

int elman_step(elman_context *c, int token, float *log_probabilities) {
  if (c == NULL || log_probabilities == NULL || token < 0 || token >= LABELS) return ELMAN_ARGUMENT;
  const uint32_t read = (uint32_t)token;
  float *scores;
  TRY(read_tokens(c, &read, 1, &scores));
  c->last = ELMAN_END;
  const float total = log_of_sum(scores, LABELS);
  for (size_t j = 0; j < LABELS; j++) log_probabilities[j] = scores[j] - total;
  return ELMAN_OK;
}

int elman_prompt(elman_context *c, const char *text, size_t bytes) {
  if (c == NULL || (text == NULL && bytes > 0)) return ELMAN_ARGUMENT;
  begin_all(c);
  for (const char *at = text, *const end = text == NULL ? NULL : text + bytes; at != end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    uint32_t *tokens;
    size_t count;
    float *scores;
    reset(&c->kept);
    TRY(tokens_of(c, at, (size_t)((stop == NULL ? end : stop) - at), &tokens, &count));
    if (stop != NULL) tokens[count++] = ELMAN_END;
    for (size_t i = 0; i < count; i++) {  // the last token is read when the next one is drawn
@lines|      if (c->last == ELMAN_END) begin_all(c);
      TRY(read_tokens(c, &c->last, 1, &scores));
      c->last = tokens[i];
    }
    at = stop == NULL ? end : stop + 1;
  }
  return ELMAN_OK;
}

//@ +sample
// numpy's default generator, so that a seed draws what it draws there: O'Neill 2014 (PCG XSL RR 128/64), seeded by
// O'Neill's seed_seq.
typedef struct {
  uint64_t high, low;
} wide_number;

static wide_number times(wide_number a, wide_number b) {
  const uint64_t a0 = a.low & UINT32_MAX, a1 = a.low >> 32, b0 = b.low & UINT32_MAX, b1 = b.low >> 32;
  const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & UINT32_MAX);
  const uint64_t high = a1 * b1 + (middle >> 32) + (other >> 32);
  return (wide_number){high + a.high * b.low + a.low * b.high, a.low * b.low};
}

static wide_number plus(wide_number a, wide_number b) {
  const uint64_t low = a.low + b.low;
  return (wide_number){a.high + b.high + (low < a.low), low};
}

static void advance(elman_context *c) {
  static const wide_number factor = {UINT64_C(2549297995355413924), UINT64_C(4865540595714422341)};
  const wide_number state = {c->random[0], c->random[1]}, added = {c->random[2], c->random[3]};
  const wide_number next = plus(times(state, factor), added);
  c->random[0] = next.high;
  c->random[1] = next.low;
}

// From 0 to 1.
static double uniform(elman_context *c) {
  advance(c);
  const uint64_t folded = c->random[0] ^ c->random[1], turn = c->random[0] >> 58;
  const uint64_t bits = folded >> turn | folded << ((64 - turn) & 63);
  return (double)(bits >> 11) * (1.0 / 9007199254740992.0);
}

static uint32_t stirred(uint32_t value, uint32_t *by, uint32_t factor) {
  value ^= *by;
  *by *= factor;
  value *= *by;
  return value ^ value >> 16;
}

int elman_seed(elman_context *c, unsigned long long seed) {
  if (c == NULL) return ELMAN_ARGUMENT;
  const uint32_t given[4] = {(uint32_t)(seed & UINT32_MAX), (uint32_t)(seed >> 32 & UINT32_MAX), 0, 0};
  uint32_t pool[4], by = UINT32_C(0x43b0d7e5), words[8];
  for (int i = 0; i < 4; i++) pool[i] = stirred(given[i], &by, UINT32_C(0x931e8875));
  for (int from = 0; from < 4; from++)
    for (int to = 0; to < 4; to++) {
      if (from == to) continue;
      const uint32_t mixed = UINT32_C(0xca01f9dd) * pool[to] -
                             UINT32_C(0x4973f715) * stirred(pool[from], &by, UINT32_C(0x931e8875));
      pool[to] = mixed ^ mixed >> 16;
    }
  by = UINT32_C(0x8b51f9dd);
  for (int i = 0; i < 8; i++) words[i] = stirred(pool[i % 4], &by, UINT32_C(0x58f38ded));
  uint64_t whole[4];
  for (int i = 0; i < 4; i++) whole[i] = words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
  c->random[2] = whole[2] << 1 | whole[3] >> 63;
  c->random[3] = whole[3] << 1 | 1;
  c->random[0] = c->random[1] = 0;
  advance(c);
  const wide_number begun = plus((wide_number){c->random[0], c->random[1]}, (wide_number){whole[0], whole[1]});
  c->random[0] = begun.high;
  c->random[1] = begun.low;
  advance(c);
  return ELMAN_OK;
}

int elman_sample(elman_context *c, double temperature, int *token) {
  if (c == NULL || token == NULL || !(temperature >= 0.0) || isinf(temperature)) return ELMAN_ARGUMENT;
  float *scores;
@lines|  if (c->last == ELMAN_END) begin_all(c);
  TRY(read_tokens(c, &c->last, 1, &scores));
  size_t chosen = 1 + highest(scores + 1, LABELS - 1);
  if (temperature > 0.0) {
    const float most = scores[chosen], divisor = (float)temperature;
    float total = 0.0f;
    scores[0] = 0.0f;
    for (size_t j = 1; j < LABELS; j++) scores[j] = divisor > 0.0f ? (scores[j] - most) / divisor : 0.0f;
    for (size_t j = 1; j < LABELS; j++) scores[j] = scores[j] < -86.0f ? 0.0f : fast_exp(scores[j]);
    for (size_t j = 1; j < LABELS; j++) scores[j] = total += scores[j];  // rounded as Python does
    const float drawn = (float)(uniform(c) * (double)total);
    size_t low = 1, high = LABELS - 1;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (scores[middle] > drawn)
        high = middle;
      else
        low = middle + 1;
    }
    chosen = low;
  }
  c->last = (uint32_t)chosen;
  *token = (int)chosen;
  return ELMAN_OK;
}

//@ +answers
enum { GROUP = 256 };  // tokens that are read at once, unless one text has more

int elman_answers(elman_context *c, size_t count, const char *const texts[], const size_t bytes[],
                  elman_result answers[]) {
  if (c == NULL || (count > 0 && (texts == NULL || bytes == NULL || answers == NULL))) return ELMAN_ARGUMENT;
  reading *readings;
  size_t *lengths;
  packing all;
  reset(&c->kept);
  TAKE(&c->kept, readings, count);
  TAKE(&c->kept, lengths, count);
  for (size_t i = 0; i < count; i++) {
    TRY(read_text(c, texts[i], bytes[i], &readings[i]));
    lengths[i] = readings[i].count;
  }
  TRY(pack(&c->kept, lengths, count, &all));
  for (size_t first = 0; first < count;) {  // texts of similar lengths together
    size_t last = first, tokens = 0;
    do tokens += all.length[last++];
    while (last < count && tokens + all.length[last] <= GROUP && last - first < GROUP);
    const size_t n = last - first;
    reading *some;
    packing p;
    reset(&c->scratch);
    TAKE(&c->scratch, some, n);
    for (size_t i = 0; i < n; i++) some[i] = readings[all.order[first + i]];
    TRY(pack(&c->scratch, all.length + first, n, &p));
    word *words;
    TAKE(&c->scratch, words, p.rows);
    for (size_t t = 0; t < p.steps; t++)
      for (size_t i = 0; i < p.running[t]; i++) words[p.first[t] + i] = some[i].tokens[t];
    float *scores;
    TRY(network(c, &p, words, &scores));
    for (size_t i = 0; i < n; i++) {
      const size_t text = all.order[first + i];
      TRY(decide(c, &p, i, &some[i], scores, texts[text], &answers[text]));
    }
    first = last;
  }
  return ELMAN_OK;
}

int elman_answer(elman_context *c, const char *text, size_t bytes, elman_result *answer) {
  return elman_answers(c, 1, &text, &bytes, answer);
}
