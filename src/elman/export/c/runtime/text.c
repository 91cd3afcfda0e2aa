//@ word
typedef struct {
  const uint32_t *at;  // code points
  size_t length;
} word;

//@ decode
enum { LONGEST_TEXT = 1 << 27 };  // bytes, as of a line that elman reads

// UTF-8 to code points. ELMAN_UTF8 for bytes that are none, or half a surrogate pair.
static int decode(arena *a, const char *text, size_t bytes, word *out) {
  if (bytes > LONGEST_TEXT) return ELMAN_LONG;
  uint32_t *points;
  TAKE(a, points, bytes);
  size_t n = 0;
  for (size_t i = 0; i < bytes;) {
    const unsigned char first = (unsigned char)text[i++];
    uint32_t point = first;
    if (first >= 0x80) {
      const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
      if (first < 0xc2 || first > 0xf4 || bytes - i < (size_t)more) return ELMAN_UTF8;
      point = first & (0x3fu >> more);
      for (int k = 0; k < more; k++) {
        const unsigned char next = (unsigned char)text[i++];
        if ((next & 0xc0) != 0x80) return ELMAN_UTF8;
        point = point << 6 | (next & 0x3fu);
      }
      const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
      if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return ELMAN_UTF8;
    }
    points[n++] = point;
  }
  *out = (word){points, n};
  return ELMAN_OK;
}

//@ encode
// A code point as UTF-8: 1 to 4 bytes.
static size_t encode(uint32_t point, unsigned char *bytes) {
  if (point < 0x80) {
    bytes[0] = (unsigned char)point;
    return 1;
  }
  if (point < 0x800) {
    bytes[0] = (unsigned char)(0xc0 | point >> 6);
    bytes[1] = (unsigned char)(0x80 | (point & 0x3f));
    return 2;
  }
  if (point < 0x10000) {
    bytes[0] = (unsigned char)(0xe0 | point >> 12);
    bytes[1] = (unsigned char)(0x80 | (point >> 6 & 0x3f));
    bytes[2] = (unsigned char)(0x80 | (point & 0x3f));
    return 3;
  }
  bytes[0] = (unsigned char)(0xf0 | (point >> 18 & 0x07));
  bytes[1] = (unsigned char)(0x80 | (point >> 12 & 0x3f));
  bytes[2] = (unsigned char)(0x80 | (point >> 6 & 0x3f));
  bytes[3] = (unsigned char)(0x80 | (point & 0x3f));
  return 4;
}

//@ strings
// Items by number, each ended by a zero byte, and a table of hashes that finds them.
typedef struct {
  const unsigned char *bytes;
  const uint32_t *start;  // (count + 1,)
  const uint32_t *slot;   // (slots,): 1 + an item's number, 0 for none; the first free slot ends a search
  uint32_t count, slots;  // slots: a power of two
} strings;

static int valid_strings(const strings *s, size_t bytes) {
  if (s->start[0] != 0 || s->start[s->count] != bytes) return 0;
  for (uint32_t i = 0; i < s->count; i++)
    if (s->start[i] >= s->start[i + 1] || s->start[i + 1] > bytes || s->bytes[s->start[i + 1] - 1] != 0) return 0;
  for (uint32_t i = 0; i < s->slots; i++)
    if (s->slot[i] > s->count) return 0;
  return 1;
}

//@ find
enum { NOWHERE = UINT32_MAX };

static int same(const strings *s, uint32_t number, const word *w) {
  const unsigned char *at = s->bytes + s->start[number], *end = s->bytes + s->start[number + 1] - 1;
  unsigned char bytes[4];
  for (size_t i = 0; i < w->length; i++) {
    const size_t n = encode(w->at[i], bytes);
    if ((size_t)(end - at) < n || memcmp(at, bytes, n) != 0) return 0;
    at += n;
  }
  return at == end;
}

// The number of an item, or NOWHERE. The hash is FNV-1a.
static uint32_t find(const strings *s, const word *w) {
  uint32_t hash = UINT32_C(2166136261);
  unsigned char bytes[4];
  for (size_t i = 0; i < w->length; i++) {
    const size_t n = encode(w->at[i], bytes);
    for (size_t k = 0; k < n; k++) hash = (hash ^ bytes[k]) * UINT32_C(16777619);
  }
  hash ^= hash >> 15;
  for (uint32_t tries = 0; tries < s->slots; tries++) {
    const uint32_t found = s->slot[(hash + tries) & (s->slots - 1)];
    if (found == 0) return NOWHERE;
    if (same(s, found - 1, w)) return found - 1;
  }
  return NOWHERE;
}

//@ row_of
static uint32_t row_of(const strings *s, const word *w) {
  const uint32_t found = find(s, w);
  return found == NOWHERE ? 0 : found;
}

//@ points_of_item
// The code points of an item, at most as many as it has bytes; what is not UTF-8 is passed over.
static size_t points_of_item(const strings *s, uint32_t number, uint32_t *points) {
  size_t n = 0;
  for (uint32_t i = s->start[number]; i < s->start[number + 1] - 1; i++) {
    const unsigned char byte = s->bytes[i];
    if ((byte & 0xc0) != 0x80)
      points[n++] = byte < 0x80 ? byte : byte & (byte >= 0xf0 ? 0x07u : byte >= 0xe0 ? 0x0fu : 0x1fu);
    else if (n > 0)
      points[n - 1] = points[n - 1] << 6 | (byte & 0x3fu);
  }
  return n;
}

//@ within
// Whether a code point is in one of the ranges (first, last), in ascending order.
static int within(const uint32_t (*ranges)[2], size_t count, uint32_t point) {
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (point > ranges[middle][1])
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && point >= ranges[low][0];
}

//@ lower
enum { SIGMA = 0x3a3, FINAL_SIGMA = 0x3c2, SMALL_SIGMA = 0x3c3 };

// Whether the sigma at i ends a word: after a cased letter, and before none; marks between do not count.
static int ends_a_word(const word *w, size_t i) {
  size_t j = i;
  while (j > 0 && is_ignorable(w->at[j - 1])) j--;
  if (j == 0 || !is_cased(w->at[j - 1])) return 0;
  for (j = i + 1; j < w->length && is_ignorable(w->at[j]);) j++;
  return j == w->length || !is_cased(w->at[j]);
}

// In lower case, as Python's str.lower.
static int lower(arena *a, const word *w, word *out) {
  uint32_t *points;
  TAKE(a, points, w->length * LOWER_MOST);
  size_t n = 0;
  for (size_t i = 0; i < w->length; i++) {
    const uint32_t point = w->at[i];
    if (point < 128)
      points[n++] = point >= 'A' && point <= 'Z' ? point + 32 : point;
    else if (point == SIGMA)
      points[n++] = ends_a_word(w, i) ? FINAL_SIGMA : SMALL_SIGMA;
    else
      n += lower_point(point, points + n);
  }
  *out = (word){points, n};
  return ELMAN_OK;
}

//@ shape
// X for capitals, x for other letters, d for digits, all else as it is; runs are cut to two.
static int shape(arena *a, const word *w, word *out) {
  uint32_t *points;
  TAKE(a, points, w->length);
  size_t n = 0;
  for (size_t i = 0; i < w->length; i++) {
    const uint32_t c = w->at[i];
    const uint32_t kind = is_upper(c) ? 'X' : is_alpha(c) ? 'x' : is_digit(c) ? 'd' : c;
    if (n < 2 || points[n - 1] != kind || points[n - 2] != kind) points[n++] = kind;
  }
  *out = (word){points, n};
  return ELMAN_OK;
}

//@ prefix
static word prefix(const word *w, size_t length) { return (word){w->at, w->length < length ? w->length : length}; }

//@ suffix
static word suffix(const word *w, size_t length) {
  const size_t n = w->length < length ? w->length : length;
  return (word){w->at + (w->length - n), n};
}

//@ cut
// Of a longer word, the first and the last `longest` / 2 characters.
static int cut(arena *a, const word *w, size_t longest, word *out) {
  *out = *w;
  if (w->length <= longest) return ELMAN_OK;
  const size_t half = longest / 2;
  uint32_t *points;
  TAKE(a, points, 2 * half);
  memcpy(points, w->at, half * sizeof *points);
  memcpy(points + half, w->at + w->length - half, half * sizeof *points);
  *out = (word){points, 2 * half};
  return ELMAN_OK;
}

//@ byte_of
// The byte that a character of a subword stands for: printable ones for themselves, the others from 256 on.
static unsigned char byte_of(uint32_t point) {
  uint32_t other = 256;
  for (uint32_t byte = 0; byte < 256; byte++) {
    const int plain = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    if (point == (plain ? byte : other)) return (unsigned char)byte;
    other += !plain;
  }
  return '?';
}

//@ repaired
// How many bytes are one character, and whether they are UTF-8; of others, as many as could begin one.
static size_t character_at(const unsigned char *at, size_t n, int *valid) {
  const unsigned char first = at[0];
  const size_t whole = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  size_t k = 1;
  *valid = 0;
  for (; k < whole && k < n; k++) {
    unsigned char low = 0x80, high = 0xbf;
    if (k == 1) {
      low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
      high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    }
    if (at[k] < low || at[k] > high) return k;
  }
  *valid = k == whole;
  return k;
}

// Bytes as UTF-8, with U+FFFD for what is none: at most three times as many.
static size_t repaired(const unsigned char *at, size_t n, unsigned char *out) {
  size_t size = 0;
  for (size_t k; n > 0; at += k, n -= k) {
    int valid;
    k = character_at(at, n, &valid);
    memcpy(out + size, valid ? (const char *)at : "\xef\xbf\xbd", valid ? k : 3);
    size += valid ? k : 3;
  }
  return size;
}
