// A stand-in for libLiteRt.so that misbehaves on request: one input and one output, both float32[2];
// output = input + 1.
// FAKE_LITERT holds words such as "hang_run"; see asked(). Built with -DMODEL_FIRST it is as old as 2.1.5, with
// -DBEFORE_215 as old as 2.1.3, with -DTYPED_OPTIONS as old as 2.1.2, with -DNO_RUN it is no LiteRT at all.

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { OK = 0, INVALID = 1, FAILURE = 3 };

typedef struct {
  int32_t element_type;
  uint32_t rank_and_flags;
  int32_t dims[8];
  uint32_t strides[8];
} RankedType;

static int environment, model, signature, subgraph, accelerator, compiled, input, output;  // handles
static int hardware, event_set, runs;
static float input_values[2], output_values[2];

static bool asked(const char *word) {
  const char *words = getenv("FAKE_LITERT");
  const char *found = words ? strstr(words, word) : NULL;
  return found != NULL && (found[strlen(word)] == 0 || found[strlen(word)] == ' ');
}

static int misbehave(const char *where) {
  char word[64];
  snprintf(word, sizeof word, "hang_%s", where);
  while (asked(word)) sleep(1);
  snprintf(word, sizeof word, "abort_%s", where);
  if (asked(word)) abort();
  snprintf(word, sizeof word, "exit_%s", where);
  if (asked(word)) exit(0);
  snprintf(word, sizeof word, "segv_%s", where);
  if (asked(word)) raise(SIGSEGV);
  snprintf(word, sizeof word, "starve_%s", where);
  if (asked(word)) {  // a crash after which nobody gets memory to tell of it
    static char line[4 << 20];
    memset(line, '-', sizeof line - 1);
    fputs(line, stderr);
    setrlimit(RLIMIT_AS, &(struct rlimit){1, RLIM_INFINITY});
    raise(SIGSEGV);
  }
  snprintf(word, sizeof word, "fail_%s", where);
  return asked(word) ? FAILURE : OK;
}

int LiteRtCreateEnvironment(int count, const void *options, void **result) {
  (void)count, (void)options;
  *result = &environment;
  return misbehave("environment");
}
void LiteRtEnvironmentHasGpuEnvironment(void *handle, bool *result) { (void)handle, *result = !asked("no_adapter"); }
int LiteRtGetNumAccelerators(void *handle, size_t *result) { return (void)handle, *result = 1, OK; }
int LiteRtGetAccelerator(void *handle, size_t i, void **result) {
  return (void)handle, (void)i, *result = &accelerator, OK;
}
int LiteRtGetAcceleratorName(void *handle, const char **result) { return (void)handle, *result = "GPU OpenCL", OK; }
int LiteRtGetAcceleratorVersion(void *handle, int *result) {
  (void)handle;
  result[0] = 1, result[1] = 2, result[2] = 3;
  return OK;
}
int LiteRtGetAcceleratorHardwareSupport(void *handle, int *result) {
  return (void)handle, *result = asked("cpu_only") ? 1 : 2, OK;
}

#ifdef MODEL_FIRST
int LiteRtCreateModelFromBuffer(const char *data, size_t size, void **result) {
#else
int LiteRtCreateModelFromFd(void) { return FAILURE; }
int LiteRtCreateModelFromBuffer(void *handle, const char *data, size_t size, void **result) {
  if (handle != &environment) return INVALID;
#endif
  if (size < 8 || memcmp(data + 4, "TFL3", 4) != 0) return INVALID;
  *result = &model;
  return misbehave("model");
}
#ifndef BEFORE_215
int LiteRtEnvironmentSupportsFP16(void *handle, bool *result) { return (void)handle, *result = false, OK; }
#endif
#ifdef TYPED_OPTIONS
int LiteRtCreateCpuOptions(void) { return FAILURE; }
#endif

int LiteRtGetNumModelSignatures(void *handle, size_t *result) { return (void)handle, *result = 1, OK; }
int LiteRtGetModelSignature(void *handle, size_t i, void **result) {
  return (void)handle, (void)i, *result = &signature, OK;
}
int LiteRtGetSignatureKey(void *handle, const char **result) { return (void)handle, *result = "serve\xff\x01", OK; }
int LiteRtGetSignatureSubgraph(void *handle, void **result) { return (void)handle, *result = &subgraph, OK; }
int LiteRtGetNumSubgraphOps(void *handle, size_t *result) { return (void)handle, *result = 7, OK; }
int LiteRtGetNumSignatureInputs(void *handle, size_t *result) { return (void)handle, *result = 1, OK; }
int LiteRtGetNumSignatureOutputs(void *handle, size_t *result) { return (void)handle, *result = 1, OK; }
int LiteRtGetSignatureInputName(void *h, size_t i, const char **result) { return (void)h, (void)i, *result = "x", OK; }
int LiteRtGetSignatureOutputName(void *h, size_t i, const char **result) { return (void)h, (void)i, *result = "y", OK; }
int LiteRtGetSignatureInputTensorByIndex(void *h, size_t i, void **result) {
  return (void)h, (void)i, *result = &input, OK;
}
int LiteRtGetSignatureOutputTensorByIndex(void *h, size_t i, void **result) {
  return (void)h, (void)i, *result = &output, OK;
}
int LiteRtGetRankedTensorType(void *handle, RankedType *result) {
  if (handle == &output && asked("unranked")) return INVALID;
  memset(result, 0, sizeof *result);
  result->element_type = 1;
  result->rank_and_flags = 1;
  result->dims[0] = handle == &output && asked("open_shape") ? -1 : 2;
  return OK;
}

int LiteRtCreateOptions(void **result) { return *result = &hardware, OK; }
int LiteRtSetOptionsHardwareAccelerators(void *handle, int set) { return *(int *)handle = set, OK; }
int LiteRtCreateOpaqueOptions(const char *id, void *data, void (*destroy)(void *), void **result) {
  (void)destroy;
  fprintf(stderr, "options %s: %s", id, (const char *)data);
  *result = &hardware;
  return OK;
}
int LiteRtAddOpaqueOptions(void *options, void *opaque) { return (void)options, (void)opaque, OK; }
int LiteRtCreateCompiledModel(void *handle, void *m, void *options, void **result) {
  (void)handle, (void)m, (void)options;
  *result = &compiled;
  if (asked("say_variable")) fprintf(stderr, "ERROR: Variable tensors not yet supported.\n");
  if (asked("left_over")) {
    fprintf(stderr, "ERROR: Following operations are not supported by GPU delegate:\nFOO: no\nBAR: never\n"
                    "5 operations will run on the GPU, and the remaining 2 operations will run on the CPU.\n");
  }
  if (asked("no_adapter") && (hardware & 2)) return FAILURE;
  return misbehave("compile");
}
int LiteRtCompiledModelIsFullyAccelerated(void *handle, bool *result) {
  return (void)handle, *result = !asked("left_over"), OK;
}
int LiteRtGetCompiledModelOutputTensorLayouts(void *handle, size_t s, size_t count, uint32_t *layout, bool update) {
  (void)handle, (void)s, (void)count, (void)update;
  layout[0] = 1;
  layout[1] = asked("open_shape") ? (uint32_t)-1 : 2;
  return OK;
}
int LiteRtGetCompiledModelInputBufferRequirements(void *handle, size_t s, size_t i, void **result) {
  return (void)handle, (void)s, (void)i, *result = &input, OK;
}
int LiteRtGetCompiledModelOutputBufferRequirements(void *handle, size_t s, size_t i, void **result) {
  return (void)handle, (void)s, (void)i, *result = &output, OK;
}
int LiteRtCreateManagedTensorBufferFromRequirements(void *handle, const RankedType *type, void *needed, void **result) {
  (void)handle, (void)type;
  *result = needed;
  return misbehave("buffer");
}
int LiteRtGetTensorBufferType(void *handle, int *result) { return (void)handle, *result = 1, OK; }
int LiteRtGetTensorBufferSize(void *handle, size_t *result) {
  return (void)handle, *result = asked("small_buffer") ? 4 : 64, OK;
}
int LiteRtHasTensorBufferEvent(void *handle, bool *result) { return (void)handle, *result = event_set, OK; }
int LiteRtClearTensorBufferEvent(void *handle) { return (void)handle, event_set = 0, OK; }
int LiteRtLockTensorBuffer(void *handle, void **result, int mode) {
  if (mode != (handle == &input)) return INVALID;  // inputs are written, outputs are read
  *result = handle == &input ? input_values : output_values;
  return misbehave("lock");
}
int LiteRtUnlockTensorBuffer(void *handle) { return (void)handle, OK; }
#ifndef NO_RUN
int LiteRtRunCompiledModel(void *c, size_t s, size_t n, void **inputs, size_t m, void **outputs) {
  (void)c, (void)s, (void)n, (void)inputs, (void)m, (void)outputs;
  if (event_set) return INVALID;
  event_set = 1;
  runs++;
  for (int i = 0; i < 2; i++) output_values[i] = input_values[i] + 1 + (asked("drift") ? (float)runs : 0);
  return misbehave("run");
}
#endif

void LiteRtDestroyTensorBuffer(void *handle) { (void)handle; }
void LiteRtDestroyCompiledModel(void *handle) { (void)handle, misbehave("destroy"); }
void LiteRtDestroyOptions(void *handle) { (void)handle; }
void LiteRtDestroyModel(void *handle) { (void)handle; }
void LiteRtDestroyEnvironment(void *handle) { (void)handle, event_set = 0; }
