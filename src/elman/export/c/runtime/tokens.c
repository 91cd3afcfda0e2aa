//@ +split_space
// The words between white space. Without `tokens`, only how many.
static size_t split(const word *text, word *tokens) {
  size_t n = 0;
  for (size_t i = 0; i < text->length;) {
    if (is_space(text->at[i])) {
      i++;
      continue;
    }
    const size_t start = i;
    while (i < text->length && !is_space(text->at[i])) i++;
    if (tokens != NULL) tokens[n] = (word){text->at + start, i - start};
    n++;
  }
  return n;
}

//@ +split_characters
// Every code point.
static size_t split(const word *text, word *tokens) {
  if (tokens != NULL)
    for (size_t i = 0; i < text->length; i++) tokens[i] = (word){text->at + i, 1};
  return text->length;
}

//@ +split_words
// Where the run of this kind of character that begins at i ends.
#define RUN(i, kind)                                       \
  do {                                                     \
    while ((i) < text->length && kind(text->at[i])) (i)++; \
  } while (0)

static int is_letter(uint32_t c) { return is_word(c) && c != '_' && !is_alone(c); }
static int is_inner(uint32_t c) { return is_letter(c) || is_mark(c); }
static int is_name(uint32_t c) { return is_word(c) || c == '-'; }
static int is_user(uint32_t c) { return is_name(c) || c == '.' || c == '+'; }
static int is_address(uint32_t c) { return !is_space(c) && c != '<' && c != '>' && c != '"'; }
static int is_closing(uint32_t c) {
  return c == 0x2019 || (c < 128 && c != 0 && strchr(".,;:!?')]}", (int)c) != NULL);
}

static size_t begins(const word *text, size_t i, const char *with) {
  const size_t n = strlen(with);
  if (text->length - i < n) return 0;
  for (size_t k = 0; k < n; k++)
    if (text->at[i + k] != (unsigned char)with[k]) return 0;
  return n;
}

// Each returns the end of what it finds at i, or i.

static size_t web_address(const word *text, size_t i) {
  static const char *const begin[] = {"https://", "http://", "ftp://", "www."};
  size_t n = 0;
  for (size_t k = 0; k < 4 && n == 0; k++) n = begins(text, i, begin[k]);
  if (n == 0) return i;
  const size_t first = i + n;
  size_t end = first;
  RUN(end, is_address);
  while (end > first && is_closing(text->at[end - 1])) end--;
  return end > first ? end : i;
}

static size_t mail_address(const word *text, size_t i) {
  size_t end = i;
  while (end < text->length && end - i < 65 && is_user(text->at[end])) end++;
  if (end == i || end - i > 64 || end == text->length || text->at[end] != '@') return i;
  const size_t host = ++end;
  RUN(end, is_name);
  if (end == host) return i;
  const size_t without = end;
  while (end + 1 < text->length && text->at[end] == '.' && is_name(text->at[end + 1])) {
    end++;
    RUN(end, is_name);
  }
  return end > without ? end : i;
}

static size_t decimal_number(const word *text, size_t i) {
  size_t end = i;
  RUN(end, is_decimal);
  const size_t without = end;
  if (end == i) return i;
  while (end + 1 < text->length && (text->at[end] == '.' || text->at[end] == ',') && is_decimal(text->at[end + 1])) {
    end++;
    RUN(end, is_decimal);
  }
  return end > without ? end : i;
}

static size_t written_word(const word *text, size_t i) {
  if (!is_letter(text->at[i])) return i;
  RUN(i, is_inner);
  while (i + 1 < text->length && is_letter(text->at[i + 1]) &&
         (text->at[i] == '\'' || text->at[i] == 0x2019 || text->at[i] == '-' || text->at[i] == 0x2010)) {
    i++;
    RUN(i, is_inner);
  }
  return i;
}

// Web and mail addresses, numbers, words, and other characters by themselves, with the marks that follow.
// Without `tokens`, only how many.
static size_t split(const word *text, word *tokens) {
  size_t n = 0;
  for (size_t i = 0; i < text->length;) {
    if (is_space(text->at[i])) {
      i++;
      continue;
    }
    size_t end = web_address(text, i);
    if (end == i) end = mail_address(text, i);
    if (end == i) end = decimal_number(text, i);
    if (end == i) end = written_word(text, i);
    if (end == i) {
      end++;
      RUN(end, is_mark);
    }
    if (tokens != NULL) tokens[n] = (word){text->at + i, end - i};
    n++;
    i = end;
  }
  return n;
}

//@ split_text
static int split_text(arena *a, const word *text, word **tokens, size_t *count) {
  *count = split(text, NULL);
  TAKE(a, *tokens, *count);
  split(text, *tokens);
  return ELMAN_OK;
}
