//@ dot_product
static float dot_product(const float *restrict x, const float *restrict y, size_t n) {
  float part[16] = {0}, sum = 0.0f;
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (size_t k = 0; k < 16; k++) part[k] += x[i + k] * y[i + k];
  for (; i < n; i++) sum += x[i] * y[i];
  for (size_t k = 0; k < 16; k++) sum += part[k];
  return sum;
}

//@ decode_layer
// One step of a layer for several rows, whose states are `stride` apart: its fields, then what U multiplies.
static int decode_layer(arena *a, const direction *d, const matrix *W, const float *b, const float *x, size_t rows,
                        float *state, size_t stride, float *y) {
  float *gates, *r = NULL, *q, *seen = state + d->fields * d->hidden;
  const size_t recurrent = d->recurrent ? d->U->out : 0;
  TAKE(a, gates, rows * W->out);
  TAKE(a, q, d->hidden);
  product(W, b, x, W->in, rows, gates);
  if (d->recurrent) {
    TAKE(a, r, rows * recurrent);
    product(d->U, NULL, seen, stride, rows, r);
  }
  for (size_t i = 0; i < rows; i++) {
    d->step(gates + i * W->out, r == NULL ? NULL : r + i * recurrent, d->p, state + i * stride, y + i * d->hidden, q);
    if (d->recurrent) memcpy(seen + i * stride, q, d->hidden * sizeof *q);
  }
  return ELMAN_OK;
}

//@ +rewrite
// What is read of one source: the encoder's outputs, and what can be copied.
typedef struct {
  size_t length, features;  // positions; of these, features
  word *symbols;            // (length,)
  float *h;                 // (length, WIDTH)
@key|  float *keys;              // (length, KEYS)
@hard|  float *read;              // (length, HIDDEN)
@copy|  int *copied;              // (length,): the number of the symbol that is copied from here
  size_t names;             // symbols that can be written: those of the vocabulary, and what only copying writes
  word **extra;             // the latter
  float shift[VECTOR];      // added to every vector that the decoder reads
} source;

// One row for each hypothesis.
typedef struct {
  float state[STATE];  // of each layer: its fields, then what its U multiplies
  float y[WRITTEN];    // the last layer's output
@feeding|  float fed[HIDDEN];
@feedback|  float mixed[VECTOR];
@monotonic|  float *position;  // (length,): where the symbol before was written from; NULL before the first
  int before;
  double total;
  int *written;
} hypothesis;

// What one step of one hypothesis makes.
typedef struct {
  float *chances;  // (names,)
@monotonic|  float *z, *prior, *total, *gate;  // (length, HIDDEN), and (length,) each
} outcome;

static void softmax(float *x, size_t n) {
  if (n == 0) return;
  const float total = log_of_sum(x, n);
  for (size_t i = 0; i < n; i++) x[i] = fast_exp(x[i] - total);
}

static int is_feature(const word *w) {
  static const uint32_t end[] = {'<', '/', 's', '>'}, unknown[] = {'<', 'u', 'n', 'k', 'n', 'o', 'w', 'n', '>'};
  if (w->length < 3 || w->at[0] != '<' || w->at[w->length - 1] != '>') return 0;
  return !(w->length == 4 && memcmp(w->at, end, sizeof end) == 0) &&
         !(w->length == 9 && memcmp(w->at, unknown, sizeof unknown) == 0);
}

static void target_vector(const elman_model *m, size_t symbol, float *out) { @TARGET@; }

// Features, symbols and the end -> what the decoder reads.
static int read_source(elman_context *c, const reading *r, const char *const *features, size_t count, source *s,
                       float *start) {
  const elman_model *m = c->model;
  arena *a = &c->kept;
  static const uint32_t end[] = {'<', '/', 's', '>'};
  s->length = count + r->count + 1;
  TAKE(a, s->symbols, s->length);
  for (size_t i = 0; i < count; i++) {
    word name;
    uint32_t *points;
    if (features[i] == NULL) return ELMAN_ARGUMENT;
    TRY(decode(a, features[i], strlen(features[i]), &name));
    TAKE(a, points, name.length + 2);
    points[0] = '<';
    memcpy(points + 1, name.at, name.length * sizeof *points);
    points[name.length + 1] = '>';
    s->symbols[i] = (word){points, name.length + 2};
  }
  if (r->count) memcpy(s->symbols + count, r->tokens, r->count * sizeof *r->tokens);
  s->symbols[s->length - 1] = (word){end, 4};
  uint32_t *ids;
  word *words;
  TAKE(a, ids, s->length);
  TAKE(a, words, s->length);
  for (size_t i = 0; i < s->length; i++) {
    ids[i] = row_of(&m->source_symbols, &s->symbols[i]);
    words[i] = (word){ids + i, 1};
  }
  ids[s->length - 1] = 1;
  packing p;
  float *h, *ends;
  reset(&c->scratch);
  TRY(pack(&c->scratch, &s->length, 1, &p));
  TRY(encode_source(c, &p, words, &h, &ends));
  TAKE(a, s->h, s->length * WIDTH);
  memcpy(s->h, h, s->length * WIDTH * sizeof *h);
@keymap|  TAKE(a, s->keys, s->length * KEYS);
@keymap|  TRY(affine(&c->scratch, &m->key_W, m->key_b, s->h, s->length, KEYS, s->keys));
@keysame|  s->keys = s->h;
@hard|  TAKE(a, s->read, s->length * HIDDEN);
@hard|  TRY(affine(&c->scratch, &m->read_W, m->read_b, s->h, s->length, HIDDEN, s->read));
  TRY(affine(&c->scratch, &m->bridge_W, m->bridge_b, ends, 1, BRIDGE, start));
  tanh_all(start, BRIDGE);
  s->features = 0;
  memset(s->shift, 0, sizeof s->shift);
@features|  float sum[VECTOR] = {0}, one[VECTOR];
  for (size_t i = 0; i < s->length; i++) {
    if (!is_feature(&s->symbols[i])) continue;
    s->features++;
@features|    source_vector(m, ids[i], one);
@features|    add_all(one, VECTOR, sum);
  }
@features|  TRY(affine(&c->scratch, &m->features_W, m->features_b, sum, 1, VECTOR, s->shift));
  s->names = SYMBOLS;
  TAKE(a, s->extra, s->length);
@copy|  TAKE(a, s->copied, s->length);
@copy|  uint32_t *index;
@copy|  word *each;
@copy|  size_t different;
@copy|  int *name;
@copy|  TAKE(a, index, s->length);
@copy|  TAKE(a, name, s->length);
@copy|  TRY(distinct(a, s->symbols, s->length, index, &each, &different));
@copy|  for (size_t i = 0; i < different; i++) {
@copy|    const uint32_t known = find(&m->labels, &each[i]);
@copy|    name[i] = is_feature(&each[i]) ? 0 : known != NOWHERE ? (int)known : (int)s->names;
@copy|    if (name[i] == (int)s->names) s->extra[s->names++ - SYMBOLS] = &each[i];
@copy|  }
@copy|  for (size_t i = 0; i < s->length; i++) s->copied[i] = name[index[i]];
  return ELMAN_OK;
}

@soft|// The weights of the positions, and the mean of what is there.
@soft|static int attend(elman_context *c, const source *s, const float *query, float *weights, float *context) {
@soft|  for (size_t j = 0; j < s->length; j++) {
@additive|    float own[KEYS];
@additive|    for (size_t k = 0; k < KEYS; k++) own[k] = fast_tanh(query[k] + s->keys[j * KEYS + k]);
@additive|    weights[j] = dot_product(own, c->model->attention_v, KEYS);
@product|    weights[j] = dot_product(query, s->keys + j * KEYS, KEYS);
@soft|  }
@product|  (void)c;
@soft|  softmax(weights, s->length);
@soft|  memset(context, 0, WIDTH * sizeof *context);
@soft|  for (size_t j = 0; j < s->length; j++)
@soft|    for (size_t k = 0; k < WIDTH; k++) context[k] += weights[j] * s->h[j * WIDTH + k];
@soft|  return ELMAN_OK;
@soft|}
@soft|
@monotonic|// p(position) from where the symbol before was written from: never back.
@monotonic|static int move(elman_context *c, const source *s, const hypothesis *one, const float *scores, float *prior) {
@monotonic|  float *row;
@monotonic|  TAKE(&c->scratch, row, s->length);
@monotonic|  memset(prior, 0, s->length * sizeof *prior);
@monotonic|  const size_t starts = one->position == NULL ? 1 : s->length;
@monotonic|  for (size_t i = 0; i < starts; i++) {
@monotonic|    // at first the place before all that is no feature
@monotonic|    const size_t begin = one->position == NULL ? s->features : i, away = one->position == NULL;
@monotonic|    const float chance = one->position == NULL ? 1.0f : one->position[i];
@monotonic|    if (chance == 0.0f || begin >= s->length) continue;
@monotonic|    for (size_t j = begin; j < s->length; j++) {
@monotonic|      const size_t far = j - begin + away;
@monotonic|      row[j - begin] = scores[j] + c->model->moves[far < MOVES ? far : MOVES - 1];
@monotonic|    }
@monotonic|    softmax(row, s->length - begin);
@monotonic|    for (size_t j = begin; j < s->length; j++) prior[j] += chance * row[j - begin];
@monotonic|  }
@monotonic|  return ELMAN_OK;
@monotonic|}
@monotonic|
@copy|// g p_softmax + (1 - g) of what is copied: g of a row.
@copy|static int gate_of(elman_context *c, const float *hidden, float *gate) {
@copy|  TRY(affine(&c->scratch, &c->model->gate_W, c->model->gate_b, hidden, 1, 1, gate));
@copy|  *gate = sigmoid(*gate);
@copy|  return ELMAN_OK;
@copy|}
@copy|
// One step of these hypotheses: each reads its last symbol; the chances of every next one.
static int step_all(elman_context *c, const source *s, hypothesis *live, size_t count, outcome *made) {
  const elman_model *m = c->model;
  arena *a = &c->scratch;
  reset(a);
  float *x, *states, *scores;
  TAKE(a, x, count * DECODER);
  TAKE(a, states, count * STATE);
@attention|  float *weights, *query;
@attention|  TAKE(a, weights, count * s->length);
@attention|  TAKE(a, query, KEYS);
@soft|  float *context;
@soft|  TAKE(a, context, count * WIDTH);
  for (size_t i = 0; i < count; i++) {
    hypothesis *one = &live[i];
    float *row = x + i * DECODER;
    target_vector(m, one->before < SYMBOLS ? (size_t)one->before : 0, row);
    add_all(s->shift, VECTOR, row);
    row += VECTOR;
@additive|    TRY(affine(a, &m->query_W, m->query_b, one->y, 1, KEYS, query));
@additive|    TRY(attend(c, s, query, weights + i * s->length, context + i * WIDTH));
@additive|    memcpy(row, context + i * WIDTH, WIDTH * sizeof *row);
@additive|    row += WIDTH;
@feeding|    memcpy(row, one->fed, sizeof one->fed);
@feeding|    row += HIDDEN;
@feedback|    memcpy(row, one->mixed, sizeof one->mixed);
    memcpy(states + i * STATE, one->state, sizeof one->state);
  }
@LAYERS@
  for (size_t i = 0; i < count; i++) {
    memcpy(live[i].state, states + i * STATE, sizeof live[i].state);
    memcpy(live[i].y, y + i * WRITTEN, sizeof live[i].y);
  }
  for (size_t i = 0; i < count; i++) {
    outcome *o = &made[i];
    const float *own = y + i * WRITTEN;
    TAKE(a, o->chances, s->names);
@query|    TRY(affine(a, &m->query_W, m->query_b, own, 1, KEYS, query));
@plainquery|    memcpy(query, own, KEYS * sizeof *query);
@product|    TRY(attend(c, s, query, weights + i * s->length, context + i * WIDTH));
@hard|    float *z, *prior, *total, *mine, *gate;
@hard|    TAKE(a, z, s->length * HIDDEN);
@hard|    TAKE(a, prior, s->length);
@hard|    TAKE(a, total, s->length);
@hard|    TAKE(a, gate, s->length);
@hard|    TAKE(a, mine, HIDDEN);
@hard|    TRY(affine(a, &m->hidden_W, m->hidden_b, own, 1, HIDDEN, mine));
@hard|    for (size_t j = 0; j < s->length; j++) {
@hard|      for (size_t k = 0; k < HIDDEN; k++) z[j * HIDDEN + k] = fast_tanh(mine[k] + s->read[j * HIDDEN + k]);
@hard|      weights[j] = dot_product(query, s->keys + j * KEYS, KEYS);
@hard|    }
@monotonic|    TRY(move(c, s, &live[i], weights, prior));
@anywhere|    memcpy(prior, weights, s->length * sizeof *prior);
@anywhere|    softmax(prior, s->length);
@hard|    memset(o->chances, 0, s->names * sizeof *o->chances);
@hard|    TAKE(a, scores, SYMBOLS + TILE);
@hard|    for (size_t j = 0; j < s->length; j++) {
@hard|      product(&m->output_W, m->output_b, z + j * HIDDEN, HIDDEN, 1, scores);
@hard|      total[j] = log_of_sum(scores, SYMBOLS);
@hard|      gate[j] = 1.0f;
@hardcopy|      TRY(gate_of(c, z + j * HIDDEN, &gate[j]));
@hardcopy|      o->chances[s->copied[j]] += prior[j] * (1.0f - gate[j]);
@hard|      const float share = prior[j] * gate[j];
@hard|      for (size_t k = 0; k < SYMBOLS; k++) o->chances[k] += share * fast_exp(scores[k] - total[j]);
@hard|    }
@monotonic|    *o = (outcome){o->chances, z, prior, total, gate};
@softened|    float *hidden, *both;
@softened|    TAKE(a, hidden, HIDDEN);
@softened|    TAKE(a, both, WIDTH + WRITTEN);
@soft|    memcpy(both, context + i * WIDTH, WIDTH * sizeof *both);
@soft|    memcpy(both + WIDTH, own, WRITTEN * sizeof *both);
@none|    memcpy(both, own, WRITTEN * sizeof *both);
@softened|    TRY(affine(a, &m->hidden_W, m->hidden_b, both, 1, HIDDEN, hidden));
@tanh|    tanh_all(hidden, HIDDEN);
@softened|    TAKE(a, scores, SYMBOLS + TILE);
@softened|    product(&m->output_W, m->output_b, hidden, HIDDEN, 1, scores);
@softened|    softmax(scores, SYMBOLS);
@softened|    memcpy(o->chances, scores, SYMBOLS * sizeof *scores);
@softcopy|    float gate;
@softcopy|    TRY(gate_of(c, hidden, &gate));
@softcopy|    memset(o->chances + SYMBOLS, 0, (s->names - SYMBOLS) * sizeof *scores);
@softcopy|    for (size_t k = 0; k < SYMBOLS; k++) o->chances[k] *= gate;
@softcopy|    for (size_t j = 0; j < s->length; j++)
@softcopy|      o->chances[s->copied[j]] += (1.0f - gate) * weights[i * s->length + j];
@feeding|    memcpy(live[i].fed, hidden, sizeof live[i].fed);
@feedback|    memset(live[i].mixed, 0, sizeof live[i].mixed);
@feedback|    for (size_t k = 0; k < SYMBOLS; k++) {
@feedback|      float vector[VECTOR];
@feedback|      target_vector(m, k, vector);
@feedback|      for (size_t e = 0; e < VECTOR; e++) live[i].mixed[e] += o->chances[k] * vector[e];
@feedback|    }
  }
  return ELMAN_OK;
}

@monotonic|// Where a symbol was written from, for the step after it.
@monotonic|static void settle(const elman_model *m, const source *s, const outcome *o, int symbol, float *position) {
@monotonic|  float column[HIDDEN];
@monotonic|  if (symbol < SYMBOLS) read_column(&m->output_W, (size_t)symbol, column);
@monotonic|  for (size_t j = 0; j < s->length; j++) {
@monotonic|    float chance = 0.0f;
@monotonic|    if (symbol < SYMBOLS)
@monotonic|      chance = o->gate[j] * fast_exp(dot_product(column, o->z + j * HIDDEN, HIDDEN) + m->output_b[symbol] - o->total[j]);
@moncopy|    if (s->copied[j] == symbol) chance += 1.0f - o->gate[j];
@monotonic|    position[j] = o->prior[j] * chance / o->chances[symbol];
@monotonic|  }
@monotonic|}
@monotonic|
// A continuation of a hypothesis.
typedef struct {
  size_t of;
  int symbol;
  double total;
} continuation;

// The likeliest come first; at most `most` are kept.
static void consider(continuation *best, size_t *count, size_t most, continuation one) {
  size_t i = *count;
  if (i == most && !(one.total > best[i - 1].total)) return;
  if (i < most) (*count)++;
  else i--;
  for (; i > 0 && one.total > best[i - 1].total; i--) best[i] = best[i - 1];
  best[i] = one;
}

// The text of symbols, with a zero byte at its end.
static int text_of(elman_context *c, const source *s, const int *symbols, size_t count, elman_result *result) {
  const elman_model *m = c->model;
  size_t room = 1;
  for (size_t i = 0; i < count; i++)
    room += 1 + 4 * (symbols[i] < SYMBOLS ? m->labels.start[symbols[i] + 1] - m->labels.start[symbols[i]]
                                          : s->extra[symbols[i] - SYMBOLS]->length);
  unsigned char *text;
  size_t n = 0;
  TAKE(&c->kept, text, room);
@bytes|  uint32_t *points;
@bytes|  TAKE(&c->kept, points, room);
  for (size_t i = 0; i < count; i++) {
@spaces|    if (i > 0) text[n++] = ' ';
    const word *extra = symbols[i] < SYMBOLS ? NULL : s->extra[symbols[i] - SYMBOLS];
@bytes|    size_t letters = 0;
@bytes|    if (extra == NULL) letters = points_of_item(&m->labels, (uint32_t)symbols[i], points);
@bytes|    for (size_t k = 0; k < (extra == NULL ? letters : extra->length); k++)
@bytes|      text[n++] = byte_of(extra == NULL ? points[k] : extra->at[k]);
@joined|    const char *known = extra == NULL ? elman_label(m, symbols[i]) : "";
@joined|    while (*known) text[n++] = (unsigned char)*known++;
@joined|    for (size_t k = 0; extra != NULL && k < extra->length; k++) n += encode(extra->at[k], text + n);
  }
@bytes|  unsigned char *whole;
@bytes|  TAKE(&c->kept, whole, 3 * n + 1);
@bytes|  n = repaired(text, n, whole);
@bytes|  text = whole;
  text[n] = 0;
  result->text = (const char *)text;
  result->bytes = n;
  return ELMAN_OK;
}

int elman_rewrite(elman_context *c, const char *text, size_t bytes, size_t features, const char *const names[],
                  int beam, double length_penalty, elman_result *result) {
  if (c == NULL || result == NULL || beam < 1 || beam > 1000 || !(length_penalty >= 0.0) ||
      (features > 0 && names == NULL))
    return ELMAN_ARGUMENT;
  const size_t wide = (size_t)beam;
  reading r;
  source s;
  float start[BRIDGE];
  reset(&c->kept);
  TRY(read_text(c, text, bytes, &r));
  TRY(read_source(c, &r, names, features, &s, start));
  const size_t symbols = s.length - 1, longest = 2 * LONGEST_TARGET + 10 > 3 * symbols ? 2 * LONGEST_TARGET + 10 : 3 * symbols;
  hypothesis *live, *next;
  outcome *made;
  continuation *best, *own;
  TAKE(&c->kept, live, wide);
  TAKE(&c->kept, next, wide);
  TAKE(&c->kept, made, wide);
  TAKE(&c->kept, best, wide);
  TAKE(&c->kept, own, wide);
  for (size_t i = 0; i < wide; i++) {
    TAKE(&c->kept, live[i].written, longest);
    TAKE(&c->kept, next[i].written, longest);
@monotonic|    TAKE(&c->kept, live[i].position, s.length);
@monotonic|    TAKE(&c->kept, next[i].position, s.length);
  }
  hypothesis *first = &live[0];
@START@
@feeding|  memset(first->fed, 0, sizeof first->fed);
@feedback|  memset(first->mixed, 0, sizeof first->mixed);
@monotonic|  float *const kept_position = first->position;
@monotonic|  first->position = NULL;
  first->before = 1;
  first->total = 0.0;
  // the best answer that has ended, and the best that was cut off
  int *ended, *halted;
  TAKE(&c->kept, ended, longest);
  TAKE(&c->kept, halted, longest);
  size_t count = 1, room = wide, ended_length = 0, halted_length = 0, finished = 0, stopped = 0;
  double ended_score = 0.0, halted_score = 0.0, ended_total = 0.0, halted_total = 0.0;
  for (size_t length = 0; count > 0; length++) {
    TRY(step_all(c, &s, live, count, made));
@monotonic|    if (length == 0) first->position = kept_position;
    size_t taken = 0, left = 0;
    for (size_t i = 0; i < count; i++) {
      size_t n = 0;
      for (size_t k = 1; k < s.names; k++) consider(own, &n, wide, (continuation){i, (int)k, (double)made[i].chances[k]});
      for (size_t k = 0; k < n; k++) {
        own[k].total = live[i].total + (double)(float)log(own[k].total);
        if (own[k].total > (double)-INFINITY) consider(best, &taken, wide, own[k]);
      }
    }
    const double scale = pow((double)(length + 1), length_penalty), most = pow((double)longest + 1.0, length_penalty);
    for (size_t k = 0; k < taken && k < room; k++) {
      const hypothesis *from = &live[best[k].of];
      const double score = best[k].total / scale;
      if (best[k].symbol == 1) {
        if (finished++ == 0 || score > ended_score) {
          memcpy(ended, from->written, length * sizeof *ended);
          ended_length = length;
          ended_score = score;
          ended_total = best[k].total;
        }
      } else if (length + 1 >= longest) {
        if (stopped++ == 0 || score > halted_score) {
          memcpy(halted, from->written, length * sizeof *halted);
          halted[length] = best[k].symbol;
          halted_length = length + 1;
          halted_score = score;
          halted_total = best[k].total;
        }
      }
    }
    size_t gone = 0;
    for (size_t k = 0; k < taken && k < room; k++) {
      const hypothesis *from = &live[best[k].of];
      if (best[k].symbol == 1 || length + 1 >= longest) {
        gone++;
        continue;
      }
      if (finished > 0 && best[k].total / most <= ended_score) continue;  // it cannot become better
      hypothesis *to = &next[left++];
      int *written = to->written;
@monotonic|      float *position = to->position;
@monotonic|      settle(c->model, &s, &made[best[k].of], best[k].symbol, position);
      *to = *from;
@monotonic|      to->position = position;
      to->written = written;
      memcpy(written, from->written, length * sizeof *written);
      written[length] = to->before = best[k].symbol;
      to->total = best[k].total;
    }
    room -= gone;
    hypothesis *other = live;
    live = next;
    next = other;
    count = left;
  }
  result->complete = finished > 0;
  result->log_probability = finished ? ended_total : halted_total;
  return text_of(c, &s, finished ? ended : halted, finished ? ended_length : halted_length, result);
}

int elman_answer(elman_context *c, const char *text, size_t bytes, elman_result *result) {
  return elman_rewrite(c, text, bytes, 0, NULL, BEAM, LENGTH_PENALTY, result);
}
