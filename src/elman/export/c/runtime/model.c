//@ +load
static uint64_t header_number(const unsigned char *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

// The weights where they lie. Everything that is used as a place is looked at once.
static int place_all(elman_model *m, const unsigned char *bytes, size_t size) {
  if (size != FILE_SIZE || memcmp(bytes, "elman-C\n", 8) != 0) return ELMAN_FORMAT;
  if (header_number(bytes + 8) != FINGERPRINT || header_number(bytes + 16) != FILE_SIZE) return ELMAN_FORMAT;
  for (size_t i = 32; i < HEADER; i++)
    if (bytes[i] != 0) return ELMAN_FORMAT;
  if (header_number(bytes + 24) != checksum(bytes + HEADER, size - HEADER)) return ELMAN_FORMAT;
  return place(m, bytes + HEADER) ? ELMAN_OK : ELMAN_FORMAT;
}

int elman_load_memory(const void *bytes, size_t size, elman_model **model) {
  if (model == NULL) return ELMAN_ARGUMENT;
  *model = NULL;
  if (bytes == NULL || (uintptr_t)bytes % 8 != 0) return ELMAN_ARGUMENT;
  elman_model *m = calloc(1, sizeof *m);
  if (m == NULL) return ELMAN_MEMORY;
  const int status = place_all(m, bytes, size);
  if (status != ELMAN_OK)
    free(m);
  else
    *model = m;
  return status;
}

static int read_file(const char *path, void *bytes, size_t size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return ELMAN_FILE;
  setvbuf(file, NULL, _IONBF, 0);
  const size_t got = fread(bytes, 1, size, file);
  const int more = fgetc(file) != EOF, wrong = ferror(file);
  fclose(file);
  return wrong ? ELMAN_FILE : got != size || more ? ELMAN_FORMAT : ELMAN_OK;
}

int elman_load(const char *path, elman_model **model) {
  if (model == NULL) return ELMAN_ARGUMENT;
  *model = NULL;
@embed|  if (path == NULL) return elman_load_memory(embedded, sizeof embedded, model);
@file|  if (path == NULL) return ELMAN_ARGUMENT;
  void *bytes = malloc(FILE_SIZE);
  if (bytes == NULL) return ELMAN_MEMORY;
  int status = read_file(path, bytes, FILE_SIZE);
  if (status == ELMAN_OK) status = elman_load_memory(bytes, FILE_SIZE, model);
  if (status == ELMAN_OK)
    (*model)->owned = bytes;
  else
    free(bytes);
  return status;
}

void elman_free(elman_model *model) {
  if (model == NULL) return;
  free(model->owned);
  free(model);
}

const char *elman_message(int status) {
  switch (status) {
    case ELMAN_OK: return "no error";
    case ELMAN_FILE: return "the file of weights cannot be read";
    case ELMAN_FORMAT: return "not the file of weights that belongs to this program, or a damaged one";
    case ELMAN_MEMORY: return "not enough memory";
    case ELMAN_ARGUMENT: return "an argument is missing or out of range";
    case ELMAN_UTF8: return "the text is not UTF-8";
    case ELMAN_LONG: return "the text is too long";
    default: return "unknown error";
  }
}

int elman_labels(const elman_model *model) { return model == NULL ? 0 : (int)model->labels.count; }

const char *elman_label(const elman_model *model, int label) {
  if (model == NULL || label < 0 || label >= (int)model->labels.count) return NULL;
  return (const char *)model->labels.bytes + model->labels.start[label];
}
