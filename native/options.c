// The command line, and what it means to the runtime.

#include "bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kAccelerators[] = {"cpu", "gpu", "gpu,cpu", NULL};
const char *const kPrecisions[] = {"default", "fp16", "fp32", "fp16acc32", NULL};
const char *const kBackends[] = {"auto", "opencl", "webgpu", "opengl", "metal", NULL};
const char *const kKernels[] = {"xnnpack", "builtin", "reference", NULL};
const int kHardware[] = {HW_CPU, HW_GPU, HW_GPU | HW_CPU};

const char kUsage[] =
    "usage: delegate_bench --lib FILE --model FILE --out DIR --run-id TEXT [options] [--input FILE ...]\n"
    "       delegate_bench --describe --lib FILE --model FILE --out DIR --run-id TEXT\n"
    "       delegate_bench --version | --help\n"
    "  --lib FILE             libLiteRt.so (or .dylib), 2.1.3 or newer\n"
    "  --accel-dir DIR        where the GPU accelerator's library is (default: beside --lib)\n"
    "  --model FILE           .tflite\n"
    "  --out DIR              gets result.json, s<sample>_o<output>.bin and stderr.log\n"
    "  --run-id TEXT          repeated in result.json\n"
    "  --accelerator A        cpu | gpu (alone: an operation left over is an error) | gpu,cpu (default cpu)\n"
    "  --precision P          default | fp16 | fp32 | fp16acc32; GPU only\n"
    "  --backend B            auto | opencl | webgpu | opengl | metal; GPU only\n"
    "  --kernels K            xnnpack | builtin | reference; CPU only (default xnnpack)\n"
    "  --threads N            CPU threads (default 1)\n"
    "  --signature KEY        default: the first\n"
    "  --samples S            input sets (default 1)\n"
    "  --input FILE ...       S x inputs files, sample by sample: raw, C order, little-endian\n"
    "  --warmup N --warmup-seconds F\n"
    "                         warm up until both are reached (default 1 and 0)\n"
    "  --runs N --min-seconds F\n"
    "                         measure until both are reached (default 10 and 0)\n"
    "  --max-seconds F        cuts the warm-up short, and the measuring (default 60)\n"
    "  --timeout F            seconds for everything (default 300)\n"
    "  --memory-limit BYTES   resident memory of the process (default 0: none)\n"
    "  --output-limit BYTES   of all outputs together (default 268435456; 0: none)\n";

// Where a mistake in the words leads to: out of parse_words(), with a message.
typedef struct {
  jmp_buf escape;
  char *message;
  size_t size;
} Parser;

__attribute__((format(printf, 2, 3))) static _Noreturn void bad_usage(Parser *parser, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(parser->message, parser->size, format, arguments);
  va_end(arguments);
  longjmp(parser->escape, 1);
}

static double number_of(Parser *parser, const char *flag, const char *text, double low, double high, bool whole) {
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  // strtod alone would take "0x10", "nan" and "inf".
  bool plain = text[0] != 0 && strspn(text, "0123456789.eE+-") == strlen(text) && *end == 0 && errno == 0;
  if (!plain || value < low || value > high || (whole && value != (double)(long long)value)) {
    bad_usage(parser, "%s needs a%s number from %g to %g, not '%s'", flag, whole ? " whole" : "", low, high, text);
  }
  return value;
}

static int choice_of(Parser *parser, const char *flag, const char *text, const char *const *choices) {
  for (int i = 0; choices[i] != NULL; i++) {
    if (strcmp(choices[i], text) == 0) return i;
  }
  bad_usage(parser, "%s does not know '%s'", flag, text);
}

// Where a flag's value goes: one of the targets is set.
typedef struct {
  const char *flag;
  const char **text;
  int *choice, *integer;
  const char *const *choices;
  double *seconds;
  long *count;
  uint64_t *bytes;
  double low, high;
} Flag;

static void parse_value(Parser *parser, Options *o, const char *flag, const char *text) {
  const Flag kFlags[] = {
      {.flag = "--lib", .text = &o->lib},
      {.flag = "--accel-dir", .text = &o->accel_dir},
      {.flag = "--model", .text = &o->model},
      {.flag = "--out", .text = &o->out},
      {.flag = "--run-id", .text = &o->run_id},
      {.flag = "--signature", .text = &o->signature},
      {.flag = "--accelerator", .choice = &o->accelerator, .choices = kAccelerators},
      {.flag = "--precision", .choice = &o->precision, .choices = kPrecisions},
      {.flag = "--backend", .choice = &o->backend, .choices = kBackends},
      {.flag = "--kernels", .choice = &o->kernels, .choices = kKernels},
      {.flag = "--threads", .integer = &o->threads, .low = 1, .high = 1024},
      {.flag = "--samples", .integer = &o->samples, .low = 1, .high = 1e6},
      {.flag = "--warmup", .count = &o->warmup, .high = 1e7},
      {.flag = "--runs", .count = &o->runs, .high = 1e7},
      {.flag = "--warmup-seconds", .seconds = &o->warmup_seconds, .high = 1e6},
      {.flag = "--min-seconds", .seconds = &o->min_seconds, .high = 1e6},
      {.flag = "--max-seconds", .seconds = &o->max_seconds, .high = 1e6},
      {.flag = "--timeout", .seconds = &o->timeout, .low = 0.001, .high = 1e6},
      {.flag = "--memory-limit", .bytes = &o->memory_limit, .high = 1e15},
      {.flag = "--output-limit", .bytes = &o->output_limit, .high = 1e15},
  };
  const Flag *known = NULL;
  for (size_t i = 0; i < sizeof kFlags / sizeof kFlags[0]; i++) {
    if (strcmp(flag, kFlags[i].flag) == 0) known = &kFlags[i];
  }
  if (known == NULL) bad_usage(parser, "unknown option '%s'", flag);
  if (known->text != NULL) {
    if (text[0] == 0) bad_usage(parser, "%s is empty", flag);
    *known->text = text;
  } else if (known->choice != NULL) {
    *known->choice = choice_of(parser, flag, text, known->choices);
  } else {
    double value = number_of(parser, flag, text, known->low, known->high, known->seconds == NULL);
    if (known->seconds != NULL) *known->seconds = value;
    if (known->integer != NULL) *known->integer = (int)value;
    if (known->count != NULL) *known->count = (long)value;
    if (known->bytes != NULL) *known->bytes = (uint64_t)value;
  }
}

static Words parse(Parser *parser, int count, char **words, Options *options) {
  options->inputs = allocate((size_t)count, sizeof *options->inputs);
  for (int i = 0; i < count; i++) {
    const char *flag = words[i];
    if (strcmp(flag, "--help") == 0) {
      return WORDS_HELP;
    } else if (strcmp(flag, "--version") == 0) {
      return WORDS_VERSION;
    } else if (strcmp(flag, "--describe") == 0) {
      options->describe = true;
    } else if (strcmp(flag, "--input") == 0) {
      if (i + 1 >= count || strncmp(words[i + 1], "--", 2) == 0) bad_usage(parser, "--input needs a file");
      while (i + 1 < count && strncmp(words[i + 1], "--", 2) != 0) options->inputs[options->input_count++] = words[++i];
    } else if (strncmp(flag, "--", 2) != 0) {
      bad_usage(parser, "unexpected '%s'", flag);
    } else if (i + 1 >= count) {
      bad_usage(parser, "%s is unknown, or its value is missing", flag);
    } else {
      parse_value(parser, options, flag, words[++i]);
    }
  }
  if (!options->lib || !options->model || !options->out || !options->run_id) {
    bad_usage(parser, "--lib, --model, --out and --run-id are needed");
  }
  if (options->accelerator == ACCELERATOR_CPU && (options->precision != 0 || options->backend != BACKEND_AUTO)) {
    bad_usage(parser, "--precision and --backend are for the GPU");
  }
  return WORDS_GOOD;
}

// Reads the words after the program's name into `options`. WORDS_BAD: `message` says why.
Words parse_words(int count, char **words, Options *options, char *message, size_t size) {
  *options = (Options){.threads = 1,
                       .samples = 1,
                       .warmup = 1,
                       .runs = 10,
                       .max_seconds = 60,
                       .timeout = 300,
                       .output_limit = 256u << 20};
  Parser parser = {.message = message, .size = size};
  if (setjmp(parser.escape) != 0) return WORDS_BAD;
  return parse(&parser, count, words, options);
}

// The texts sent to the runtime. It ignores keys and GPU values that it does not know, so all were checked above.
void make_option_texts(Run *run) {
  const Options *options = run->options;
  if (options->describe) return;
  if (options->accelerator != ACCELERATOR_GPU) {
    int used = snprintf(run->cpu_options, sizeof run->cpu_options, "num_threads = %d\n", options->threads);
    // XNNPACK is the default, and its name is not: "xnnpack" up to 2.1.6, "delegate" since, each an error to the other.
    if (options->kernels != KERNELS_XNNPACK) {
      snprintf(run->cpu_options + used, sizeof run->cpu_options - (size_t)used, "kernel_mode = \"%s\"\n",
               kKernels[options->kernels]);
    }
  }
  if (options->accelerator != ACCELERATOR_CPU) {
    // wait_type 1: the call waits for the GPU, so that invoke_us alone means something too. Metal is what LiteRT takes
    // by itself where its library is; check_choices() holds it to that.
    int backend = options->backend == BACKEND_METAL ? BACKEND_AUTO : options->backend;
    snprintf(run->gpu_options, sizeof run->gpu_options, "precision = %d\nbackend = %d\nwait_type = 1\n",
             options->precision, backend);
  }
}
