//@ rows_of
// The rows of words, from memory where they are known.
static int rows_of(elman_context *c, const word *words, size_t count, float *rows) {
  enum { AT_ONCE = 64 };
  const size_t width = ROW;
  word missing[AT_ONCE];
  size_t place[AT_ONCE], n = 0;
  for (size_t i = 0; i < count; i++) {
    const float *known = recall(&c->words, &words[i]);
    if (known != NULL) {
      memcpy(rows + i * width, known, width * sizeof *rows);
    } else {
      missing[n] = words[i];
      place[n++] = i;
    }
    if (n == AT_ONCE || (n > 0 && i + 1 == count)) {
      float *made;
      reset(&c->inner);
      TAKE(&c->inner, made, n * width);
      TRY(compute_rows(c, missing, n, made));
      for (size_t k = 0; k < n; k++) {
        memcpy(rows + place[k] * width, made + k * width, width * sizeof *rows);
        remember(&c->words, &missing[k], made + k * width);
      }
      n = 0;
    }
  }
  return ELMAN_OK;
}
