//@ +main_begin
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

//@ +main_tags
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

//@ +main_labels
// One answer for each line.
static int write_answers(elman_context *c, size_t count, const char *const lines[], const size_t bytes[],
                         elman_result results[]) {
  const int status = elman_answers(c, count, lines, bytes, results);
  if (status != ELMAN_OK) return status;
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < results[i].count; k++)
      printf("%s%s", k ? "|" : "", elman_label(c->model, results[i].labels[k]));
    for (size_t k = 0; k < results[i].count; k++) printf("%s%.4f", k ? "|" : "\t", (double)results[i].chances[k]);
    fputs(results[i].count ? "\n" : "\t\n", stdout);
  }
  return ELMAN_OK;
}

//@ +main_next
// For each line its log-probability, the number of its tokens, and itself.
static int write_answers(elman_context *c, size_t count, const char *const lines[], const size_t bytes[],
                         elman_result results[]) {
  for (size_t i = 0; i < count; i++) {
    TRY(elman_answer(c, lines[i], bytes[i], results));
    printf("%.6f\t%lu\t", results->total, (unsigned long)results->count);
    fwrite(lines[i], 1, bytes[i], stdout);
    putchar('\n');
  }
  return ELMAN_OK;
}

//@ +main_rewrite
// One answer for each line.
static int write_answers(elman_context *c, size_t count, const char *const lines[], const size_t bytes[],
                         elman_result results[]) {
  for (size_t i = 0; i < count; i++) {
    TRY(elman_answer(c, lines[i], bytes[i], results));
    fwrite(results->text, 1, results->bytes, stdout);
    putchar('\n');
  }
  return ELMAN_OK;
}

//@ +main_lines
// Why a line cannot be answered, as elman predict has it; NULL if it can.
static const char *fault(elman_context *c, const char *line, size_t bytes) {
  if (memchr(line, '\r', bytes) != NULL) return "a carriage return inside a line; convert the line ends";
@nul|  if (memchr(line, 0, bytes) != NULL) return "a NUL character";
@next|  static const uint32_t end[] = {'<', '/', 's', '>'};
@next|  word text;
@next|  reset(&c->kept);
@next|  if (decode(&c->kept, line, bytes, &text) != ELMAN_OK) return NULL;
@next|  for (size_t i = 0; i + 4 <= text.length; i++)
@next|    if (memcmp(text.at + i, end, sizeof end) == 0 && (i == 0 || is_space(text.at[i - 1])) &&
@next|        (i + 4 == text.length || is_space(text.at[i + 4])))
@next|      return "</s> stands for the end of a line, which is added here; remove it from the text";
  (void)c;
  return NULL;
}

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
    for (int whole = 1; whole && result == 0;) {
      const char *end = at < held ? memchr(text + at, '\n', held - at) : NULL, *wrong = NULL;
      whole = at < held && (end != NULL || ended);
      if (whole) {
        size_t n = end == NULL ? held - at : (size_t)(end - text) - at;
        lines[count] = text + at;
        at += n + (end != NULL);
        while (n > 0 && lines[count][n - 1] == '\r') n--;
        wrong = fault(c, lines[count], n);
        if (wrong == NULL) bytes[count++] = n;
      }
      if (whole && count < most && wrong == NULL) continue;
@single|      size_t some = 1;
@many|      size_t some = count;
      for (size_t i = 0; i < count && result == 0;) {
        const int status = write_answers(c, some, lines + i, bytes + i, results);
        if (status == ELMAN_OK)
          i += some;
        else if (some > 1)
          some = 1;  // which one?
        else
          result = fail("<stdin>", number + i, elman_message(status));
      }
      number += count;
      count = 0;
      if (result == 0 && wrong != NULL) result = fail("<stdin>", number, wrong);
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

//@ +main_sample
@bytes|// A line of subwords.
@bytes|static void write_bytes(const unsigned char *at, size_t n) {
@bytes|  unsigned char text[3 * 4096];
@bytes|  fwrite(text, 1, repaired(at, n, text), stdout);
@bytes|}
@bytes|
// Tokens drawn one by one, after the prompt.
static int write_sample(elman_context *c, unsigned long tokens, double temperature, const char *prompt) {
  TRY(elman_prompt(c, prompt, strlen(prompt)));
  fputs(prompt, stdout);
  const size_t n = strlen(prompt);
  int ended = n > 0 && prompt[n - 1] == '\n';
@spaces|  int begun = c->last != ELMAN_END;
@bytes|  unsigned char line[4096];
@bytes|  uint32_t points[256];
@bytes|  size_t held = 0;
  for (unsigned long i = 0; i < tokens; i++) {
    int token;
    const int status = elman_sample(c, temperature, &token);
    if (status != ELMAN_OK) return status;
    ended = token == ELMAN_END;
@bytes|    const strings *items = &c->model->labels;
@bytes|    const uint32_t size = items->start[token + 1] - items->start[token];
@bytes|    if (!ended && size <= 256) {
@bytes|      if (held + 256 > sizeof line) write_bytes(line, held), held = 0;
@bytes|      const size_t count = points_of_item(items, (uint32_t)token, points);
@bytes|      for (size_t k = 0; k < count; k++) line[held++] = byte_of(points[k]);
@bytes|      continue;
@bytes|    }
@bytes|    write_bytes(line, held), held = 0;
@spaces|    if (begun && !ended) putchar(' ');
@spaces|    begun = !ended;
    fputs(ended ? "\n" : elman_label(c->model, token), stdout);
  }
@bytes|  write_bytes(line, held);
  if (!ended) putchar('\n');
  return ELMAN_OK;
}

static int usage(void) {
  fputs("usage: model [model.bin] < lines\n"
        "       model [model.bin] --sample TOKENS [--seed N] [--temperature X] [--prompt TEXT]\n", stderr);
  return 2;
}

int main(int count, char **arguments) {
@embed|  const char *path = NULL, *prompt = "";
@file|  const char *path = "model.bin", *prompt = "";
  unsigned long tokens = 0;
  unsigned long long seed = 0;
  double temperature = 1.0;
  int sampling = 0, i = 1;
  if (i < count && strncmp(arguments[i], "--", 2) != 0) path = arguments[i++];
  for (; i < count; i += 2) {
    if (i + 1 == count) return usage();
    char *end = arguments[i + 1];
    if (strcmp(arguments[i], "--sample") == 0)
      tokens = strtoul(arguments[i + 1], &end, 10), sampling = 1;
    else if (strcmp(arguments[i], "--seed") == 0)
      seed = strtoull(arguments[i + 1], &end, 10);
    else if (strcmp(arguments[i], "--temperature") == 0)
      temperature = strtod(arguments[i + 1], &end);
    else if (strcmp(arguments[i], "--prompt") == 0)
      prompt = arguments[i + 1], end += strlen(end);
    else
      return usage();
    if (*arguments[i + 1] == 0 ? prompt != arguments[i + 1] : *end != 0) return usage();
  }
  elman_model *model = NULL;
  elman_context *context = NULL;
  int status = elman_load(path, &model), result = 0;
  if (status != ELMAN_OK) return fail(path == NULL ? "model" : path, 0, elman_message(status));
  status = elman_open(model, &context);
  if (status == ELMAN_OK && sampling) {
    elman_seed(context, seed);
    status = write_sample(context, tokens, temperature, prompt);
  } else if (status == ELMAN_OK) {
    result = answer_lines(context);
  }
  if (status != ELMAN_OK) result = fail("model", 0, elman_message(status));
  elman_close(context);
  elman_free(model);
  return result;
}

//@ +main_plain
int main(int count, char **arguments) {
  elman_model *model = NULL;
  elman_context *context = NULL;
  if (count > 2) return fail("usage", 0, "model [model.bin] < lines");
@embed|  const char *path = count == 2 ? arguments[1] : NULL;
@file|  const char *path = count == 2 ? arguments[1] : "model.bin";
  int status = elman_load(path, &model), result = 0;
  if (status != ELMAN_OK) return fail(path == NULL ? "model" : path, 0, elman_message(status));
  status = elman_open(model, &context);
  if (status == ELMAN_OK)
    result = answer_lines(context);
  else
    result = fail("model", 0, elman_message(status));
  elman_close(context);
  elman_free(model);
  return result;
}

//@ +main_end
#endif
