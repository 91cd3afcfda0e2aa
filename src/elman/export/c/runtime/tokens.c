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

//@ +split_text
static int split_text(arena *a, const word *text, word **tokens, size_t *count) {
  *count = split(text, NULL);
  TAKE(a, *tokens, *count);
  split(text, *tokens);
  return ELMAN_OK;
}

//@ +split_subwords
// Byte-pair encoding: pieces of words, spelled in an alphabet of 256 printable characters, one for each byte.
typedef struct {
  const uint32_t *first;  // (256,): the number of each byte
  const uint32_t *merge;  // (merges, 3): two numbers, and that of both together; earlier ones come first
  const uint32_t *slot;   // (slots,): 1 + the place of a merge, 0 for none
  uint32_t merges, slots, numbers;
} encoding;

static int valid_encoding(const encoding *e) {
  for (uint32_t i = 0; i < 256; i++)
    if (e->first[i] >= e->numbers) return 0;
  for (uint32_t i = 0; i < 3 * e->merges; i++)
    if (e->merge[i] >= e->numbers) return 0;
  for (uint32_t i = 0; i < e->slots; i++)
    if (e->slot[i] > e->merges) return 0;
  return 1;
}

// The place of a merge, or NOWHERE.
static uint32_t merge_of(const encoding *e, uint32_t left, uint32_t right) {
  uint32_t hash = (left * UINT32_C(0x9e3779b1)) ^ (right * UINT32_C(0x85ebca77));
  hash ^= hash >> 15;
  for (uint32_t tries = 0; tries < e->slots; tries++) {
    const uint32_t found = e->slot[(hash + tries) & (e->slots - 1)];
    if (found == 0) return NOWHERE;
    if (e->merge[3 * (found - 1)] == left && e->merge[3 * (found - 1) + 1] == right) return found - 1;
  }
  return NOWHERE;
}

// Merges that could be next: the earliest first, of equal ones the leftmost.
typedef struct {
  uint32_t merge, at;
} candidate;

static int sooner(candidate a, candidate b) { return a.merge != b.merge ? a.merge < b.merge : a.at < b.at; }

static void push(candidate *heap, size_t *count, candidate c) {
  size_t i = (*count)++;
  for (; i > 0 && sooner(c, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
  heap[i] = c;
}

static candidate pop(candidate *heap, size_t *count) {
  const candidate top = heap[0], last = heap[--*count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < *count; i = child) {
    if (child + 1 < *count && sooner(heap[child + 1], heap[child])) child++;
    if (!sooner(heap[child], last)) break;
    heap[i] = heap[child];
  }
  heap[i] = last;
  return top;
}

// The printable character of each byte.
static void alphabet(uint32_t *points) {
  uint32_t other = 256;
  for (uint32_t byte = 0; byte < 256; byte++) {
    const int plain = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    points[byte] = plain ? byte : other++;
  }
}

static size_t contraction(const word *text, size_t i) {
  static const char *const ends[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
    const size_t n = strlen(ends[e]);
    size_t k = 0;
    while (k < n && i + k < text->length && text->at[i + k] == (unsigned char)ends[e][k]) k++;
    if (k == n) return i + n;
  }
  return i;
}

static int kind_of(uint32_t c) { return is_white(c) ? 0 : is_category_L(c) ? 1 : is_category_N(c) ? 2 : 3; }

// Where the piece that begins at i ends: a contraction, or letters, digits or other characters with a space before
// them, or white space.
static size_t piece_end(const word *text, size_t i) {
  size_t end = contraction(text, i);
  if (end > i) return end;
  const size_t begin = text->at[i] == ' ' && i + 1 < text->length ? i + 1 : i;
  const int kind = kind_of(text->at[begin]);
  if (kind != 0) {
    for (end = begin; end < text->length && kind_of(text->at[end]) == kind;) end++;
    return end;
  }
  for (end = i; end < text->length && kind_of(text->at[end]) == 0;) end++;
  return end == text->length || end == i + 1 ? end : end - 1;
}

static int split_piece(arena *a, const encoding *e, const uint32_t *points, const unsigned char *bytes, size_t n,
                       word *tokens, size_t *count) {
  uint32_t *number, *size, *before;  // of the part that begins at a byte; 0 bytes: there is none any more
  candidate *heap;
  size_t waiting = 0;
  TAKE(a, number, n);
  TAKE(a, size, n);
  TAKE(a, before, n);
  TAKE(a, heap, 3 * n);
  for (size_t i = 0; i < n; i++) {
    number[i] = e->first[bytes[i]];
    size[i] = 1;
    before[i] = (uint32_t)(i ? i - 1 : 0);
    const uint32_t merge = i ? merge_of(e, number[i - 1], number[i]) : NOWHERE;
    if (merge != NOWHERE) push(heap, &waiting, (candidate){merge, (uint32_t)(i - 1)});
  }
  while (waiting > 0) {
    const candidate c = pop(heap, &waiting);
    const uint32_t *merge = e->merge + 3 * c.merge, at = c.at;
    if (size[at] == 0 || number[at] != merge[0] || at + size[at] >= n || number[at + size[at]] != merge[1]) continue;
    const uint32_t gone = at + size[at];
    number[at] = merge[2];
    size[at] += size[gone];
    size[gone] = 0;
    const uint32_t next = at + size[at];
    if (next < n) {
      before[next] = at;
      const uint32_t after = merge_of(e, number[at], number[next]);
      if (after != NOWHERE) push(heap, &waiting, (candidate){after, at});
    }
    if (at > 0) {
      const uint32_t ahead = merge_of(e, number[before[at]], number[at]);
      if (ahead != NOWHERE) push(heap, &waiting, (candidate){ahead, before[at]});
    }
  }
  for (size_t i = 0; i < n; i += size[i]) tokens[(*count)++] = (word){points + i, size[i]};
  return ELMAN_OK;
}

static int split_text(arena *a, const encoding *e, const word *text, word **tokens, size_t *count) {
  unsigned char *bytes, *at;
  uint32_t *points, of[256];
  TAKE(a, bytes, 4 * text->length);
  alphabet(of);
  at = bytes;
  for (size_t i = 0; i < text->length; i++) at += encode(text->at[i], at);
  const size_t n = (size_t)(at - bytes);
  TAKE(a, points, n);
  TAKE(a, *tokens, n);
  for (size_t i = 0; i < n; i++) points[i] = of[bytes[i]];
  *count = 0;
  at = bytes;
  for (size_t i = 0; i < text->length;) {
    const size_t end = piece_end(text, i);
    unsigned char spelled[4];
    size_t size = 0;
    for (; i < end; i++) size += encode(text->at[i], spelled);
    TRY(split_piece(a, e, points + (at - bytes), at, size, *tokens, count));
    at += size;
  }
  return ELMAN_OK;
}
