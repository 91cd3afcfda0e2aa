"""model.h: what a program calls."""

from __future__ import annotations

from elman.tasks.plan import Labels, Next, Plan, Rewriting, Tags


def header(plan: Plan | Rewriting, steps: bool, embed: bool) -> str:
    """The declarations, with their contract."""
    where = "path NULL: those inside model.c. " if embed else ""
    return f"""/* A trained model, written by elman: {plan.task}, {plan.model}.
   Every function may be called from any thread; a context, from one thread at a time. Texts are UTF-8. */
#ifndef ELMAN_MODEL_H
#define ELMAN_MODEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

enum {{ ELMAN_OK, ELMAN_FILE, ELMAN_FORMAT, ELMAN_MEMORY, ELMAN_ARGUMENT, ELMAN_UTF8, ELMAN_LONG }};

typedef struct elman_model elman_model;     /* the weights, which nothing changes: one for all threads */
typedef struct elman_context elman_context; /* what a caller computes with, and remembers: one for each thread */

{_answers(plan, steps)}
/* What a status means. */
const char *elman_message(int status);

/* The weights from the file model.bin. {where}ELMAN_FORMAT: another file, or a damaged one. */
int elman_load(const char *path, elman_model **model);

/* The same from memory at a multiple of 8, such as a mapped file. It is not copied, and must outlive the model. */
int elman_load_memory(const void *bytes, size_t size, elman_model **model);

/* After its contexts are closed. */
void elman_free(elman_model *model);

int elman_open(const elman_model *model, elman_context **context);
void elman_close(elman_context *context);

/* The labels: their number, and each by number, or NULL. */
int elman_labels(const elman_model *model);
const char *elman_label(const elman_model *model, int label);

#ifdef __cplusplus
}}
#endif
#endif
"""


def _answers(plan: Plan | Rewriting, steps: bool) -> str:
    if isinstance(plan, Rewriting):
        return REWRITING
    if isinstance(plan.answer, Tags):
        return TAGS + (TAG_STEP if steps else "")
    if isinstance(plan.answer, Labels):
        return LABELS
    assert isinstance(plan.answer, Next)
    return NEXT


_MANY = """
/* Of several texts at once, which is faster. */
int elman_answers(elman_context *context, size_t count, const char *const texts[], const size_t bytes[],
                  elman_result results[]);
"""

TAGS = f"""typedef struct {{
  const char *text; /* the token, inside the text that was given: so many bytes of it */
  size_t bytes;
  int label;
}} elman_token;

typedef struct {{
  size_t count;
  const elman_token *tokens;
}} elman_result; /* holds until the context's next call */

/* The labels of a text's tokens. */
int elman_answer(elman_context *context, const char *text, size_t bytes, elman_result *result);
{_MANY}"""

TAG_STEP = """
/* The label of the next word, after those since the context was opened or restarted. */
int elman_step(elman_context *context, const char *word, size_t bytes, int *label);
int elman_restart(elman_context *context);
"""

LABELS = f"""typedef struct {{
  size_t count; /* of labels that are given, the likeliest first: one, or with several labels any number */
  const int *labels;
  const float *chances;       /* of these */
  const float *probabilities; /* of every label */
  size_t tokens;              /* of the text */
}} elman_result;              /* holds until the context's next call */

/* The labels of a text. */
int elman_answer(elman_context *context, const char *text, size_t bytes, elman_result *result);
{_MANY}"""

NEXT = """enum { ELMAN_UNKNOWN = 0, ELMAN_END = 1 }; /* tokens: one that is not known; the end of a line */

typedef struct {
  size_t count; /* of tokens, the end of the line last */
  const int *tokens;
  const float *log_probabilities; /* natural */
  double total;
} elman_result; /* holds until the context's next call */

/* The log-probability of a line of text. Lines continue each other if the model was trained so. */
int elman_answer(elman_context *context, const char *line, size_t bytes, elman_result *result);

/* Read one token. log_probabilities (elman_labels(model)): of each one that may follow. */
int elman_step(elman_context *context, int token, float *log_probabilities);

/* Forget what was read; the next token is the first of a text. */
int elman_restart(elman_context *context);

/* Restart, and read a text that elman_sample will continue. */
int elman_prompt(elman_context *context, const char *text, size_t bytes);

/* Draw the next token, and never ELMAN_UNKNOWN. temperature 0: the likeliest. */
int elman_sample(elman_context *context, double temperature, int *token);

/* What is drawn from here on. The same seed draws the same as in Python. */
int elman_seed(elman_context *context, unsigned long long seed);
"""

REWRITING = """typedef struct {
  const char *text; /* ends with a zero byte */
  size_t bytes;
  double log_probability; /* natural, of all its symbols and the end */
  int complete;           /* 0: cut off at the maximum length */
} elman_result;           /* holds until the context's next call */

/* What is written for a text, searched for as the model does by default. */
int elman_answer(elman_context *context, const char *text, size_t bytes, elman_result *result);

/* The same with features beside the text, so many names that end with zero bytes; with a beam of 1 (greedy) or more;
   answers are ranked by log p / (symbols + 1)^length_penalty. */
int elman_rewrite(elman_context *context, const char *text, size_t bytes, size_t features, const char *const names[],
                  int beam, double length_penalty, elman_result *result);
"""
