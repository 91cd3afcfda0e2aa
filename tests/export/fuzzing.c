// Damaged files and damaged texts: SEED COUNT. Run under the sanitizers, which are the judges; every load of a file
// whose damage is not covered up must fail.
#include "model.c"

static uint64_t state;
static uint64_t drawn(uint64_t below) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (state >> 33) % (below ? below : 1);
}

static void read_damaged(elman_context *c, char *text, size_t bytes) {
  for (uint64_t n = drawn(4); n > 0 && bytes > 0; n--) text[drawn(bytes)] = (char)drawn(256);
  char *exact = malloc(bytes ? bytes : 1);  // so that reading beyond is seen
  memcpy(exact, text, bytes);
  elman_result result;
  elman_answer(c, exact, bytes, &result);
#ifdef NEXT
  int token;
  float *logs = malloc(LABELS * sizeof *logs);
  elman_prompt(c, exact, bytes);
  for (int i = 0; i < 3; i++) elman_sample(c, 1.0, &token);
  elman_step(c, (int)drawn(2 * LABELS), logs);
  free(logs);
#endif
#ifdef STEPS
  int label;
  elman_step(c, exact, bytes, &label);
#endif
  free(exact);
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  state = strtoull(arguments[1], NULL, 10);
  const unsigned long times = strtoul(arguments[2], NULL, 10);
  static const char start[] =
      "the Cat sees \xe5\x8c\x97\xe4\xba\xac na\xc3\xafve \xce\xa3\xce\x8a\xce\xa3\xce\xa5\xce\xa6\xce\x9f\xce\xa3 "
      "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd 3.14 http://a.b/c. x@y.zz don't \xc4\xb0zmir aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  unsigned char *whole = malloc(FILE_SIZE);
  if (read_file("model.bin", whole, FILE_SIZE) != ELMAN_OK) return 1;
  unsigned long loaded = 0;
  for (unsigned long i = 0; i < times; i++) {
    const uint64_t kind = drawn(4);
    size_t size = FILE_SIZE;
    if (kind == 0) size = drawn(FILE_SIZE);
    unsigned char *bytes = malloc(size + 8);
    memcpy(bytes, whole, size);
    if (kind != 0)
      for (uint64_t n = 1 + drawn(8); n > 0; n--) {
        // half of them near each other, and often as numbers that are too large
        const size_t at = HEADER * (kind > 1) + drawn(FILE_SIZE - HEADER);
        bytes[at] = (unsigned char)(drawn(2) ? bytes[at] ^ 1u << drawn(8) : drawn(2) ? 0xffu : drawn(256));
      }
    if (kind > 1) {  // the damage is covered up
      const uint64_t sum = checksum(bytes + HEADER, FILE_SIZE - HEADER);
      memcpy(bytes + 24, &sum, sizeof sum);
    }
    elman_model *model;
    const int status = elman_load_memory(bytes, size, &model);
    if (status == ELMAN_OK) {
      // nothing that is not covered up is overlooked
      if (kind < 2 && (size != FILE_SIZE || memcmp(bytes, whole, size) != 0)) return 1;
      loaded++;
      elman_context *c;
      if (elman_open(model, &c) == ELMAN_OK) {
        char text[sizeof start];
        memcpy(text, start, sizeof start);
        read_damaged(c, text, drawn(sizeof start));
        read_damaged(c, text, sizeof start - 1);
        elman_close(c);
      }
      elman_free(model);
    }
    free(bytes);
  }
  free(whole);
  printf("%lu of %lu loaded\n", loaded, times);
  return 0;
}
