// What the parts of delegate_bench share.

#ifndef DELEGATE_BENCH_BENCH_H_
#define DELEGATE_BENCH_BENCH_H_

#define _GNU_SOURCE
#define _DARWIN_C_SOURCE

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "litert.h"

#define TOOL_VERSION "1.0.0"

enum { MAX_ACCELERATORS = 8, TAIL_BYTES = 4000 };

// The kinds of failure; KindInfo gives the name in the record and the exit code.
typedef enum {
  KIND_NONE,
  KIND_USAGE,
  KIND_RUNTIME_LIBRARY,
  KIND_ABI,
  KIND_MODEL,
  KIND_UNAVAILABLE,
  KIND_COMPILE,
  KIND_INPUT,
  KIND_RUN,
  KIND_OUTPUT,
  KIND_NOT_FULLY,
  KIND_OUTPUT_LIMIT,
  KIND_UNSUPPORTED,
  KIND_CRASH,
  KIND_TIMEOUT,
  KIND_MEMORY,
  KIND_CANCELLED
} Kind;

typedef struct {
  const char *name;
  int exit_code;
} KindInfo;

typedef enum {
  STAGE_START,
  STAGE_LOAD_RUNTIME,
  STAGE_ENVIRONMENT,
  STAGE_LOAD_MODEL,
  STAGE_INPUTS,
  STAGE_COMPILE,
  STAGE_BUFFERS,
  STAGE_FIRST_RUN,
  STAGE_SAMPLES,
  STAGE_WARMUP,
  STAGE_RUN,
  STAGE_RESULT
} Stage;

enum { ACCELERATOR_CPU, ACCELERATOR_GPU, ACCELERATOR_GPU_CPU };
enum { BACKEND_AUTO, BACKEND_OPENCL, BACKEND_WEBGPU, BACKEND_OPENGL, BACKEND_METAL };  // LiteRT's own; it has no Metal
enum { PRECISION_DEFAULT, PRECISION_FP16, PRECISION_FP32, PRECISION_FP16ACC32 };  // likewise
enum { KERNELS_XNNPACK, KERNELS_BUILTIN, KERNELS_REFERENCE };

extern const KindInfo kKinds[];
extern const char *const kStages[];
extern const char *const kAccelerators[];
extern const char *const kPrecisions[];
extern const char *const kBackends[];
extern const char *const kKernels[];
extern const int kHardware[];  // what each accelerator choice means to LiteRT

// The command line.
typedef struct {
  const char *lib, *accel_dir, *model, *out, *run_id, *signature;
  int accelerator, precision, backend, kernels, threads, samples;
  const char **inputs;
  int input_count;
  long warmup, runs;
  double warmup_seconds, min_seconds, max_seconds, timeout;
  uint64_t memory_limit, output_limit;
  bool describe;
} Options;

typedef struct {
  char name[64];
  ApiVersion version;
  int hardware;
} Accelerator;

// What is known so far. Lies in memory that parent and child share, so that the parent can report a crash with it; in
// an app, where its watcher can.
// -1 is unknown, and null in the record.
typedef struct {
  atomic_int stage;
  atomic_long run;  // of the current stage
  int64_t model_bytes, runtime_bytes, model_ops;
  int env_first, gpu_environment, fully_accelerated, non_cpu_fully_accelerated, all_on_accelerator;
  char evidence[128];  // for all_on_accelerator
  int accelerator_count;
  Accelerator accelerators[MAX_ACCELERATORS];
  double dlopen_us, environment_us, load_us, compile_us, buffers_us;
  int64_t rss_before_compile, rss_end, peak_rss;
  char signature[256];
  int64_t signature_index;
} Facts;

typedef struct {
  const char *name;
  RankedType type;
  bool dynamic;  // the model leaves a dimension open; 1 is used, or what the runtime makes of it
  size_t bytes;  // packed, C order
  void *buffer;  // LiteRtTensorBuffer
  void *host;    // outputs: where they are read to
  void *first;   // outputs: what sample 0 gave
} Tensor;

typedef struct {
  const char *key;
  int64_t ops;
  Tensor *inputs, *outputs;
  size_t input_count, output_count;
} Signature;

typedef struct {
  double upload_us, invoke_us, read_us;
} Sample;

// The times of a phase of runs: all of them, or every 2nd, 4th, ... once there are more than `room`.
typedef struct {
  double *invoke_us, *read_us;
  long kept, room;
  long total, stride;  // runs of the phase; distance of two kept ones
} Times;

typedef struct {
  Kind kind;
  char message[1024];
  int status;  // LiteRT's, or STATUS_NONE
  int signal;  // 0: none
} Error;

// Where fail() goes, and what it leaves there.
typedef struct {
  jmp_buf escape;
  Error error;
} Failure;

typedef struct {
  const Options *options;
  Facts *facts;
  Failure *failure;              // set while perform() is in its steps
  void (*entered)(Stage stage);  // told of each stage; NULL: nobody
  char cpu_options[128], gpu_options[128];  // sent to the runtime; empty: none
  void *environment, *model, *compiled;
  bool can_choose_kernels, can_fp16acc32;
  Signature *signatures, *signature;
  size_t signature_count;
  Sample *samples;
  uint32_t *checksums;  // samples x outputs
  long sample_count;    // finished ones
  Times warmup, timed;
  int repeatable;
} Run;

// The buffers in the form that RunCompiledModel takes.
typedef struct {
  void **inputs, **outputs;
} Handles;

typedef struct {
  char *text;  // the searched part, cut into lines
  size_t text_size;
  char tail[TAIL_BYTES];
  size_t tail_size;
  const char *adapter, *adapter_type;
  int64_t gpu_nodes, cpu_nodes;  // -1: not printed
  const char **unsupported;      // "OP: why"
  size_t unsupported_count;
} Log;

typedef struct {
  FILE *file;
  int depth;
  bool first;  // no element yet in the innermost array or object
} Json;

// tools.c
double now_us(void);
void *allocate(size_t count, size_t size);  // zeroed, until free_all(); ends the process when there is none
void free_all(void);                        // what allocate() gave and map_file() mapped
char *path_in(const char *folder, const char *name);
void copy_text(char *target, size_t size, const char *text);
uint32_t crc32_of(const uint8_t *data, size_t size);
const void *map_file(const char *path, size_t *size);
bool write_all(int file, const void *data, size_t size);
int64_t resident_bytes(pid_t process);
int64_t footprint_bytes(void);
int64_t peak_resident_bytes(void);
int64_t peak_of_usage(long maxrss);
const char *status_name(int status);
const char *signal_name(int number);

// log.c
Log read_log(const char *out);
bool never_runs(const char *out, char *message, size_t size);

// json.c: an array's elements have a NULL key
size_t utf8_length(const unsigned char *text, size_t size);
void json_text(Json *json, const char *text, size_t size);
void json_key(Json *json, const char *key);
void json_begin(Json *json, const char *key, char bracket);
void json_end(Json *json, char bracket);
void json_null(Json *json, const char *key);
void json_string(Json *json, const char *key, const char *text);       // NULL: null
void json_integer(Json *json, const char *key, int64_t value);
void json_known(Json *json, const char *key, int64_t value);           // negative: null
void json_us(Json *json, const char *key, double value);               // negative: null
void json_flag(Json *json, const char *key, int value);                // negative: null
void json_times(Json *json, const char *key, const double *values, long count);

// record.c
void output_file(char *name, size_t size, long sample, size_t output);
bool write_result(const Run *run, const Error *error);

// options.c
extern const char kUsage[];
typedef enum { WORDS_GOOD, WORDS_BAD, WORDS_HELP, WORDS_VERSION } Words;
Words parse_words(int count, char **words, Options *options, char *message, size_t size);
void make_option_texts(Run *run);

// core.c
Facts no_facts(void);
int prepare_output(const char *out);
bool perform(Run *run, Error *error);
void release(Run *run);
__attribute__((format(printf, 4, 5))) _Noreturn void fail(const Run *run, Kind kind, int status, const char *format,
                                                          ...);
void check(const Run *run, int status, Kind kind, const char *what);
void enter(Run *run, Stage stage);

// runtime.c, model.c, compile.c, run.c: the steps, in this order
void load_runtime(Run *run);
void create_environment(Run *run);
void check_choices(const Run *run);
void load_model(Run *run);
void select_signature(Run *run);
const void **map_inputs(Run *run);  // samples x inputs
void compile(Run *run);
void create_buffers(Run *run);
void measure(Run *run, const void *const *data);

// model.c
const char *type_name(int type, int *bits);
int rank_of(const Tensor *tensor);
bool packed_bytes(const Tensor *tensor, size_t *bytes);

// supervise.c
int supervise(Run *run, int log);

#endif  // DELEGATE_BENCH_BENCH_H_
