//@ main_tags
#ifdef ELMAN_MAIN
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
// As much as there is.
static size_t read_some(void *bytes, size_t most) {
  const ssize_t got = read(0, bytes, most);
  return got > 0 ? (size_t)got : 0;
}
#else
static size_t read_some(void *bytes, size_t most) { return fread(bytes, 1, most, stdin); }
#endif

static int fail(const char *what, size_t line, const char *message) {
  if (line)
    fprintf(stderr, "%s:%lu: %s\n", what, (unsigned long)line, message);
  else
    fprintf(stderr, "%s: %s\n", what, message);
  return 3;
}

// One answer for each line.
static int write_answers(elman_context *c, size_t count, const char *const lines[], const size_t bytes[],
                         elman_result results[]) {
  const int status = elman_answers(c, count, lines, bytes, results);
  if (status != ELMAN_OK) return status;
  for (size_t i = 0; i < count; i++) {
    for (size_t t = 0; t < results[i].count; t++) {
      const elman_token *token = &results[i].tokens[t];
      fwrite(token->text, 1, token->bytes, stdout);
      putchar('\t');
      fputs(elman_label(c->model, token->label), stdout);
      putchar('\n');
    }
    putchar('\n');
  }
  return ELMAN_OK;
}

//@ main_lines
// All lines of standard input, those that are there at once.
static int answer_lines(elman_context *c) {
  enum { CHUNK = 1 << 16 };
  size_t room = 2 * CHUNK, held = 0, number = 1;
  int first = 1;
  char *text = malloc(room);
  size_t most = 1024;
  const char **lines = malloc(most * sizeof *lines);
  size_t *bytes = malloc(most * sizeof *bytes);
  elman_result *results = malloc(most * sizeof *results);
  int result = text && lines && bytes && results ? 0 : fail("model", 0, elman_message(ELMAN_MEMORY));
  for (int ended = 0; result == 0 && !ended;) {
    if (room - held < CHUNK) {
      char *more = realloc(text, 2 * room);
      if (more == NULL) {
        result = fail("model", 0, elman_message(ELMAN_MEMORY));
        break;
      }
      text = more;
      room *= 2;
    }
    const size_t got = read_some(text + held, CHUNK);
    held += got;
    ended = got == 0;
    if (first && held >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) memmove(text, text + 3, held -= 3);
    if (held >= 3) first = 0;
    size_t at = 0, count = 0;
    while (at < held || (count > 0 && at == held)) {
      const char *end = at < held ? memchr(text + at, '\n', held - at) : NULL;
      const int whole = at < held && (end != NULL || ended);
      if (whole) {
        size_t n = end == NULL ? held - at : (size_t)(end - text) - at;
        lines[count] = text + at;
        at += n + (end != NULL);
        while (n > 0 && lines[count][n - 1] == '\r') n--;
        bytes[count++] = n;
      }
      if (count == most || (count > 0 && !whole)) {
        if (write_answers(c, count, lines, bytes, results) != ELMAN_OK) {
          for (size_t i = 0; i < count; i++) {  // which one?
            const int status = write_answers(c, 1, lines + i, bytes + i, results);
            if (status != ELMAN_OK) {
              result = fail("<stdin>", number + i, elman_message(status));
              break;
            }
          }
          if (result) break;
        }
        number += count;
        count = 0;
      }
      if (!whole) break;
    }
    if (result == 0) memmove(text, text + at, held - at), held -= at;
    fflush(stdout);
  }
  free(text);
  free(lines);
  free(bytes);
  free(results);
  return result;
}

//@ main_plain
int main(int count, char **arguments) {
  elman_model *model = NULL;
  elman_context *context = NULL;
  if (count > 2) return fail("usage", 0, "model [model.bin] < lines");
@embed  const char *path = count == 2 ? arguments[1] : NULL;
@file  const char *path = count == 2 ? arguments[1] : "model.bin";
  int status = elman_load(path, &model), result = 0;
  if (status != ELMAN_OK) return fail(path == NULL ? "model" : path, 0, elman_message(status)) + (status != ELMAN_MEMORY);
  status = elman_open(model, &context);
  if (status == ELMAN_OK)
    result = answer_lines(context);
  else
    result = fail("model", 0, elman_message(status));
  elman_close(context);
  elman_free(model);
  return result;
}
#endif
