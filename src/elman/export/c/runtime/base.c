//@ TRY
#define TRY(call)                     \
  do {                                \
    const int status_ = (call);       \
    if (status_ != ELMAN_OK) return status_; \
  } while (0)

//@ arena take reset release
// Memory that is taken piece by piece and given back at once. What was taken stays where it is.
typedef struct block {
  struct block *older;
  size_t room;
} block;
typedef struct {
  block *newest;
  size_t used, taken, wish;  // of the newest block; of all; what the next one should hold
} arena;

enum { HEAD = 64, LEAST = 1 << 16 };

// NULL where there is not so much memory
static void *take(arena *a, size_t count, size_t each) {
  if (each != 0 && count > ((size_t)1 << (sizeof(size_t) * 8 - 8)) / each) return NULL;
  const size_t bytes = (count * each + 63) / 64 * 64;
  if (a->newest == NULL || a->newest->room - a->used < bytes) {
    size_t room = bytes > LEAST ? bytes : LEAST;
    if (a->newest == NULL && room < a->wish) room = a->wish;
    block *made = malloc(HEAD + room);
    if (made == NULL) return NULL;
    made->older = a->newest;
    made->room = room;
    a->newest = made;
    a->used = 0;
  }
  void *at = (unsigned char *)a->newest + HEAD + a->used;
  a->used += bytes;
  a->taken += bytes;
  return at;
}

static void release(arena *a) {
  while (a->newest != NULL) {
    block *older = a->newest->older;
    free(a->newest);
    a->newest = older;
  }
  a->used = 0;
}

// Everything is free again; what lay in several blocks will fit into one.
static void reset(arena *a) {
  if (a->newest != NULL && a->newest->older != NULL) {
    release(a);
    a->wish = a->taken + a->taken / 4;
  }
  a->used = a->taken = 0;
}

//@ TAKE
#define TAKE(arena_, name, count) \
  if ((name = take(arena_, count, sizeof *name)) == NULL) return ELMAN_MEMORY

//@ checksum mix
static uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 29;
}

// Of a multiple of 512 bytes. Every step can be undone, so no single change is missed.
static uint64_t checksum(const unsigned char *bytes, size_t size) {
  uint64_t lane[64] = {0}, all = size;
  for (size_t at = 0; at < size; at += sizeof lane) {
    uint64_t row[64];
    memcpy(row, bytes + at, sizeof row);
    for (int i = 0; i < 64; i++) lane[i] = mix(lane[i], row[i]);
  }
  for (int i = 0; i < 64; i++) all = mix(all, lane[i]);
  return all;
}
