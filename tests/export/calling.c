// Calls model.h as a program would: whole texts and step by step, from two threads' contexts, with wrong arguments.
// A line of standard input each; exit status 0 if both ways agree.
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(what)                                              \
  do {                                                            \
    if (!(what)) {                                                \
      fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what); \
      exit(1);                                                    \
    }                                                             \
  } while (0)

#ifdef TAGS
static void compare(elman_context *whole, elman_context *steps, const char *line, size_t bytes) {
  elman_result result;
  EXPECT(elman_answer(whole, line, bytes, &result) == ELMAN_OK);
  EXPECT(elman_restart(steps) == ELMAN_OK);
  for (size_t i = 0; i < result.count; i++) {
    int label;
    EXPECT(elman_step(steps, result.tokens[i].text, result.tokens[i].bytes, &label) == ELMAN_OK);
    EXPECT(label == result.tokens[i].label);
  }
}
#endif

#ifdef NEXT
static void compare(elman_context *whole, elman_context *steps, const char *line, size_t bytes) {
  static int last = ELMAN_END;
  elman_result result;
  EXPECT(elman_answer(whole, line, bytes, &result) == ELMAN_OK);
  static float *logs;
  if (logs == NULL) logs = malloc(LABEL_COUNT * sizeof *logs);
  if (RESTARTS) {
    EXPECT(elman_restart(steps) == ELMAN_OK);
    last = ELMAN_END;
  }
  for (size_t i = 0; i < result.count; i++) {
    EXPECT(elman_step(steps, last, logs) == ELMAN_OK);
    last = result.tokens[i];
    EXPECT(fabs((double)(logs[last] - result.log_probabilities[i])) < 1e-4);
  }
  EXPECT(last == ELMAN_END);
}
#endif

#ifdef LABELLED
static void compare(elman_context *whole, elman_context *steps, const char *line, size_t bytes) {
  const char *texts[3] = {"a", line, line};
  const size_t sizes[3] = {1, bytes, bytes};
  elman_result result, several[3];
  EXPECT(elman_answer(whole, line, bytes, &result) == ELMAN_OK);
  EXPECT(elman_answers(steps, 3, texts, sizes, several) == ELMAN_OK);
  for (int i = 1; i < 3; i++) {
    EXPECT(several[i].count == result.count && several[i].tokens == result.tokens);
    for (int k = 0; k < LABEL_COUNT; k++)
      EXPECT(fabs((double)(several[i].probabilities[k] - result.probabilities[k])) < 1e-5);
  }
}
#endif

#ifdef REWRITING
static void compare(elman_context *whole, elman_context *steps, const char *line, size_t bytes) {
  static const char *const features[] = {"PL", "new"};
  static const int beams[] = {1, 4, 4};
  static const double penalties[] = {0.0, 0.0, 0.7};
  elman_result result, again;
  EXPECT(elman_answer(steps, line, bytes, &result) == ELMAN_OK);
  EXPECT(elman_answer(whole, line, bytes, &again) == ELMAN_OK && strcmp(result.text, again.text) == 0);
  EXPECT(elman_rewrite(whole, line, bytes, 0, NULL, 0, 0.0, &result) == ELMAN_ARGUMENT);
  EXPECT(elman_rewrite(whole, line, bytes, 1, NULL, 1, 0.0, &result) == ELMAN_ARGUMENT);
  for (int k = 0; k < 3; k++) {
    EXPECT(elman_rewrite(whole, line, bytes, 2, features, beams[k], penalties[k], &result) == ELMAN_OK);
    printf("%d\t%s\t%d\t%.6f\n", k, result.text, result.complete, result.log_probability);
  }
}
#endif

int main(void) {
  elman_model *model;
  elman_context *one, *other;
  EXPECT(elman_load("nowhere", &model) == ELMAN_FILE && model == NULL);
  EXPECT(elman_load("model.c", &model) == ELMAN_FORMAT && model == NULL);
  EXPECT(elman_load("model.bin", NULL) == ELMAN_ARGUMENT);
  EXPECT(elman_load("model.bin", &model) == ELMAN_OK);
  EXPECT(elman_open(NULL, &one) == ELMAN_ARGUMENT && elman_open(model, NULL) == ELMAN_ARGUMENT);
  EXPECT(elman_open(model, &one) == ELMAN_OK && elman_open(model, &other) == ELMAN_OK);
  EXPECT(elman_labels(model) == LABEL_COUNT && elman_label(model, 0) != NULL);
  EXPECT(elman_label(model, -1) == NULL && elman_label(model, LABEL_COUNT) == NULL);
  elman_result result;
  EXPECT(elman_answer(one, "caf\xc3", 4, &result) == ELMAN_UTF8);
  EXPECT(elman_answer(one, NULL, 4, &result) == ELMAN_ARGUMENT && elman_answer(NULL, "", 0, &result) == ELMAN_ARGUMENT);
  EXPECT(strcmp(elman_message(ELMAN_UTF8), elman_message(ELMAN_OK)) != 0);
  elman_close(one);
  EXPECT(elman_open(model, &one) == ELMAN_OK);
  static char line[1 << 20];
  while (fgets(line, sizeof line, stdin)) compare(one, other, line, strcspn(line, "\n"));
  elman_close(one);
  elman_close(other);
  elman_close(NULL);
  elman_free(model);
  elman_free(NULL);
  return 0;
}
