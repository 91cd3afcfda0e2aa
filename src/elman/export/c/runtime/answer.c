//@ reading
typedef struct {
  word points, *tokens;
  size_t count;
} reading;

static int read_text(arena *a, const char *text, size_t bytes, reading *out) {
  if (text == NULL && bytes > 0) return ELMAN_ARGUMENT;
  TRY(decode(a, text, bytes, &out->points));
@lowercase  TRY(lower(a, &out->points, &out->points));
  TRY(split_text(a, &out->points, &out->tokens, &out->count));
@longest  if (out->count > LONGEST) return ELMAN_LONG;
  return ELMAN_OK;
}

//@ decide_tags
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
@path  int *path;
@path  size_t *of;
@path  TAKE(&c->scratch, path, r->count);
@path  TAKE(&c->scratch, of, r->count);
@path  for (size_t t = 0; t < r->count; t++) of[t] = p->first[t] + i;
@path  TRY(best_path(&c->scratch, &c->model->path, scores, LABELS, of, r->count, PATH_SOFTMAX, path));
  const uint32_t *at = r->points.at;
  for (size_t t = 0; t < r->count; t++) {
    text += bytes_of(at, (size_t)(r->tokens[t].at - at));
    at = r->tokens[t].at + r->tokens[t].length;
    tokens[t].text = text;
    tokens[t].bytes = bytes_of(r->tokens[t].at, r->tokens[t].length);
@path    tokens[t].label = path[t];
@best    tokens[t].label = (int)highest(scores + (p->first[t] + i) * LABELS, LABELS);
    text += tokens[t].bytes;
  }
  *answer = (elman_result){r->count, tokens};
  return ELMAN_OK;
}

//@ answers
enum { GROUP = 512 };  // tokens that are read at once, unless one text has more

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
    TRY(read_text(&c->kept, texts[i], bytes[i], &readings[i]));
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
