// delegate_bench: runs one TFLite model once on one LiteRT accelerator and says exactly what happened.
//
// Needs libc and dlopen only; libLiteRt.so (or .dylib) is opened at run time, so one binary serves many LiteRT
// versions. The parent process forks a child that does all the work. The parent only waits, enforces time and memory,
// and writes the result when the child cannot: whatever the runtime or the driver does, result.json exists and is
// true. README.md in this folder documents the command line, result.json and the exit codes.
//
// The C API of LiteRT used here is declared by hand: its headers are C++-flavoured, differ between releases and would
// tie the binary to one of them. Layouts are checked below; differences between releases are probed in load_runtime().

#define _GNU_SOURCE
#define _DARWIN_C_SOURCE

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __APPLE__
#include <libproc.h>
#include <pthread.h>
#endif

#define TOOL_VERSION "1.0.0"
#define RESULT_SCHEMA 1

enum {
  MAX_RANK = 8,             // of LiteRtLayout
  MAX_ACCELERATORS = 8,     // kept in the record
  RUNS_KEPT = 100000,       // a microsecond-sized model must not fill memory and JSON with a minute of samples
  TICK_MS = 20,             // how often the parent looks at the child's memory
  PROGRESS_MS = 100,        // how often it reports progress
  REAP_MS = 5000,           // how long a killed child may take to vanish (a driver can hold it in the kernel)
  TAIL_BYTES = 4000,        // of stderr.log, in the record
  LOG_BYTES = 8 << 20,      // of stderr.log, searched for what the delegate says
};

// ---------------------------------------------------------------------------------------------------------------------
// The part of LiteRT's C API that is used (2.1.3 to 2.3.0). Every handle is a pointer, every status an int.

typedef struct {
  uint32_t rank_and_flags;  // rank in the low 7 bits, has_strides in bit 7
  int32_t dims[MAX_RANK];
  uint32_t strides[MAX_RANK];
} Layout;

typedef struct {
  int32_t element_type;
  Layout layout;
} RankedType;

typedef struct {
  int32_t type;
  union {
    bool boolean;
    int64_t integer;
    double real;
    const char *string;
    void *pointer;
  } value;
} Any;

typedef struct {
  int32_t tag;
  Any value;
} EnvOption;

typedef struct {
  int major, minor, patch;
} ApiVersion;

_Static_assert(sizeof(Layout) == 68 && sizeof(RankedType) == 72 && sizeof(Any) == 16, "LiteRT's layouts");
_Static_assert(sizeof(EnvOption) == 24 && sizeof(ApiVersion) == 12, "LiteRT's layouts");

enum { HW_CPU = 1, HW_GPU = 2 };
enum { ANY_INT = 2, ANY_STRING = 8 };
enum { TAG_RUNTIME_LIBRARY_DIR = 22, TAG_AUTO_REGISTER_ACCELERATORS = 24 };
enum { BUFFER_READ = 0, BUFFER_WRITE = 1 };
enum { BUFFER_HOST = 1 };
enum { TYPE_STRING = 5 };
enum { STATUS_OK = 0, STATUS_NONE = -1 };  // NONE: the failure is not a LiteRT status

#define REQUIRED_FUNCTIONS(F)                                                                     \
  F(int, CreateEnvironment, (int, const EnvOption *, void **))                                    \
  F(void, EnvironmentHasGpuEnvironment, (void *, bool *))                                         \
  F(int, GetNumAccelerators, (void *, size_t *))                                                  \
  F(int, GetAccelerator, (void *, size_t, void **))                                               \
  F(int, GetAcceleratorName, (void *, const char **))                                             \
  F(int, GetAcceleratorVersion, (void *, ApiVersion *))                                           \
  F(int, GetAcceleratorHardwareSupport, (void *, int *))                                          \
  F(int, CreateModelFromBuffer, (void))                                                           \
  F(int, GetNumModelSignatures, (void *, size_t *))                                               \
  F(int, GetModelSignature, (void *, size_t, void **))                                            \
  F(int, GetSignatureKey, (void *, const char **))                                                \
  F(int, GetSignatureSubgraph, (void *, void **))                                                 \
  F(int, GetNumSubgraphOps, (void *, size_t *))                                                   \
  F(int, GetNumSignatureInputs, (void *, size_t *))                                               \
  F(int, GetSignatureInputName, (void *, size_t, const char **))                                  \
  F(int, GetSignatureInputTensorByIndex, (void *, size_t, void **))                               \
  F(int, GetNumSignatureOutputs, (void *, size_t *))                                              \
  F(int, GetSignatureOutputName, (void *, size_t, const char **))                                 \
  F(int, GetSignatureOutputTensorByIndex, (void *, size_t, void **))                              \
  F(int, GetRankedTensorType, (void *, RankedType *))                                             \
  F(int, CreateOptions, (void **))                                                                \
  F(int, SetOptionsHardwareAccelerators, (void *, int))                                           \
  F(int, CreateOpaqueOptions, (const char *, void *, void (*)(void *), void **))                  \
  F(int, AddOpaqueOptions, (void *, void *))                                                      \
  F(int, CreateCompiledModel, (void *, void *, void *, void **))                                  \
  F(int, CompiledModelIsFullyAccelerated, (void *, bool *))                                       \
  F(int, GetCompiledModelOutputTensorLayouts, (void *, size_t, size_t, Layout *, bool))           \
  F(int, GetCompiledModelInputBufferRequirements, (void *, size_t, size_t, void **))              \
  F(int, GetCompiledModelOutputBufferRequirements, (void *, size_t, size_t, void **))             \
  F(int, CreateManagedTensorBufferFromRequirements, (void *, const RankedType *, void *, void **)) \
  F(int, GetTensorBufferType, (void *, int *))                                                    \
  F(int, GetTensorBufferSize, (void *, size_t *))                                                 \
  F(int, HasTensorBufferEvent, (void *, bool *))                                                  \
  F(int, ClearTensorBufferEvent, (void *))                                                        \
  F(int, LockTensorBuffer, (void *, void **, int))                                                \
  F(int, UnlockTensorBuffer, (void *))                                                            \
  F(int, RunCompiledModel, (void *, size_t, size_t, void **, size_t, void **))

#define OPTIONAL_FUNCTIONS(F) F(int, CompiledModelIsNonCpuFullyAccelerated, (void *, bool *))  // 2.3.0

#define DECLARE(result, name, arguments) result(*name) arguments;
static struct { REQUIRED_FUNCTIONS(DECLARE) OPTIONAL_FUNCTIONS(DECLARE) } api;

typedef int (*CreateModelEnvFirst)(void *, const void *, size_t, void **);  // 2.1.6 and later
typedef int (*CreateModelModelFirst)(const void *, size_t, void **);

// ---------------------------------------------------------------------------------------------------------------------
// What is asked, what goes on, what came of it.

typedef enum {
  KIND_NONE, KIND_USAGE, KIND_RUNTIME_LIBRARY, KIND_ABI, KIND_MODEL, KIND_UNAVAILABLE, KIND_COMPILE, KIND_INPUT,
  KIND_RUN, KIND_OUTPUT, KIND_NOT_FULLY, KIND_OUTPUT_LIMIT, KIND_UNSUPPORTED, KIND_CRASH, KIND_TIMEOUT, KIND_MEMORY,
  KIND_CANCELLED
} Kind;

static const struct { const char *name; int exit_code; } kKinds[] = {
    [KIND_NONE] = {"none", 0},
    [KIND_USAGE] = {"usage", 2},
    [KIND_RUNTIME_LIBRARY] = {"runtime_library", 10},
    [KIND_ABI] = {"abi", 11},
    [KIND_MODEL] = {"model", 12},
    [KIND_UNAVAILABLE] = {"accelerator_unavailable", 13},
    [KIND_COMPILE] = {"compile", 14},
    [KIND_INPUT] = {"input", 15},
    [KIND_RUN] = {"run", 16},
    [KIND_OUTPUT] = {"output", 17},
    [KIND_NOT_FULLY] = {"not_fully_accelerated", 18},
    [KIND_OUTPUT_LIMIT] = {"output_limit", 19},
    [KIND_UNSUPPORTED] = {"unsupported", 20},
    [KIND_CRASH] = {"crash", 30},
    [KIND_TIMEOUT] = {"timeout", 31},
    [KIND_MEMORY] = {"memory", 32},
    [KIND_CANCELLED] = {"cancelled", 33},
};

typedef enum {
  STAGE_START, STAGE_LOAD_RUNTIME, STAGE_ENVIRONMENT, STAGE_LOAD_MODEL, STAGE_INPUTS, STAGE_COMPILE, STAGE_BUFFERS,
  STAGE_FIRST_RUN, STAGE_SAMPLES, STAGE_WARMUP, STAGE_RUN, STAGE_RESULT
} Stage;

static const char *const kStages[] = {"start",   "load_runtime", "environment", "load_model", "inputs", "compile",
                                      "buffers", "first_run",    "samples",     "warmup",     "run",    "result"};

enum { ACCELERATOR_CPU, ACCELERATOR_GPU, ACCELERATOR_GPU_CPU };
static const char *const kAccelerators[] = {"cpu", "gpu", "gpu,cpu", NULL};
static const int kHardware[] = {HW_CPU, HW_GPU, HW_GPU | HW_CPU};
// The positions of these are LiteRT's own numbers.
static const char *const kPrecisions[] = {"default", "fp16", "fp32", "fp16acc32", NULL};
static const char *const kBackends[] = {"auto", "opencl", "webgpu", "opengl", NULL};
enum { BACKEND_AUTO, BACKEND_OPENCL, BACKEND_WEBGPU, BACKEND_OPENGL };
enum { PRECISION_FP16ACC32 = 3 };
enum { KERNELS_XNNPACK, KERNELS_BUILTIN, KERNELS_REFERENCE };
static const char *const kKernels[] = {"xnnpack", "builtin", "reference", NULL};

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

// What is known so far. Lives in memory shared by parent and child, so that the parent can report a crash with it.
// -1: unknown, null in the record.
typedef struct {
  atomic_int stage;
  atomic_long run;
  int64_t model_bytes, runtime_bytes, model_ops;
  int env_first, gpu_environment, fully_accelerated, non_cpu_fully_accelerated, all_on_accelerator;
  char evidence[128];
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
  bool dynamic;  // some dimension was open; it is 1 here unless the runtime resolved it
  size_t bytes;
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

typedef struct {
  Kind kind;
  char message[1024];
  int status;  // LiteRT's, or STATUS_NONE
  int signal;  // 0: none
} Error;

typedef struct {
  const Options *options;
  Facts *facts;
  void *environment, *model, *compiled;
  const void *model_data;
  bool can_fp16acc32;
  Signature *signatures;
  size_t signature_count;
  Signature *signature;
  char cpu_options[128], gpu_options[128];
  Sample *samples;
  uint32_t *checksums;  // samples x outputs
  long sample_count;    // finished ones
  double *warmup_us, *invoke_us, *read_us;
  long warmup_count, warmup_capacity, run_count, run_capacity;
  int repeatable;
} Run;

// ---------------------------------------------------------------------------------------------------------------------
// Small tools

static double now_us(void) {
  struct timespec time;
#ifdef __APPLE__
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);  // CLOCK_MONOTONIC has microsecond steps there
#else
  clock_gettime(CLOCK_MONOTONIC, &time);
#endif
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size ? size : 1);
  if (memory == NULL) {
    fprintf(stderr, "delegate_bench: out of memory (%zu x %zu bytes)\n", count, size);
    abort();  // reported as a crash, with this line
  }
  return memory;
}

static char *path_in(const char *folder, const char *name) {
  size_t size = strlen(folder) + strlen(name) + 2;
  char *path = allocate(size, 1);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

static void copy_text(char *target, size_t size, const char *text) { snprintf(target, size, "%s", text ? text : ""); }

// The checksum that zlib calls crc32; the other side recomputes it for every file, so it must be a fast one there.
static uint32_t crc32_of(const uint8_t *data, size_t size) {
  static uint32_t table[256];
  if (table[1] == 0) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
      table[byte] = value;
    }
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; i++) crc = table[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffu;
}

// Maps a whole file for reading; NULL with errno on failure. An empty file gives a pointer to nothing.
static const void *map_file(const char *path, size_t *size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return NULL;
  struct stat info;
  const void *data = NULL;
  if (fstat(file, &info) == 0) {
    *size = (size_t)info.st_size;
    if (S_ISDIR(info.st_mode)) {
      errno = EISDIR;
    } else if (*size == 0) {
      data = "";
    } else {
      void *mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
      data = mapped == MAP_FAILED ? NULL : mapped;
    }
  }
  close(file);
  return data;
}

static bool write_all(int file, const void *data, size_t size) {
  const char *bytes = data;
  while (size > 0) {
    ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

// Resident memory of a process in bytes, -1 if it cannot be told.
static int64_t resident_bytes(pid_t process) {
#ifdef __APPLE__
  struct rusage_info_v0 usage;
  if (proc_pid_rusage(process, RUSAGE_INFO_V0, (rusage_info_t *)&usage) != 0) return -1;
  return (int64_t)usage.ri_resident_size;
#else
  char path[64], text[128];
  snprintf(path, sizeof path, "/proc/%ld/statm", (long)process);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  if (size <= 0) return -1;
  text[size] = 0;
  long long resident = -1;
  return sscanf(text, "%*s %lld", &resident) == 1 ? (int64_t)resident * getpagesize() : -1;
#endif
}

// Peak resident memory of this process. VmHWM starts afresh with each program; ru_maxrss is inherited through exec, so
// that a small program started by a large one would report the large one.
static int64_t peak_resident_bytes(void) {
  FILE *status = fopen("/proc/self/status", "re");
  if (status != NULL) {
    char line[256];
    long long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %lld", &kib);
    fclose(status);
    if (kib >= 0) return (int64_t)kib * 1024;
  }
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return -1;
#ifdef __APPLE__
  return (int64_t)usage.ru_maxrss;  // bytes
#else
  return (int64_t)usage.ru_maxrss * 1024;
#endif
}

static const char *status_name(int status) {
  static const struct { int status; const char *name; } kNames[] = {
      {0, "Ok"}, {1, "InvalidArgument"}, {2, "MemoryAllocationFailure"}, {3, "RuntimeFailure"},
      {4, "MissingInputTensor"}, {5, "Unsupported"}, {6, "NotFound"}, {7, "TimeoutExpired"}, {8, "WrongVersion"},
      {9, "Unknown"}, {10, "AlreadyExists"}, {100, "Cancelled"}, {500, "FileIO"}, {501, "InvalidFlatbuffer"},
      {502, "DynamicLoading"}, {503, "Serialization"}, {504, "Compilation"}, {1000, "IndexOOB"},
      {1001, "InvalidIrType"}, {1002, "InvalidGraphInvariant"}, {1003, "GraphModification"},
      {1500, "InvalidToolConfig"}, {4000, "UnsupportedRuntimeVersion"}, {5001, "ShapeInferenceFailed"}};
  for (size_t i = 0; i < sizeof kNames / sizeof kNames[0]; i++) {
    if (kNames[i].status == status) return kNames[i].name;
  }
  return "unknown";
}

static const char *signal_name(int number) {
  static const struct { int number; const char *name; } kNames[] = {
      {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGKILL, "SIGKILL"},
      {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"}, {SIGTRAP, "SIGTRAP"}, {SIGTERM, "SIGTERM"}, {SIGXCPU, "SIGXCPU"}};
  for (size_t i = 0; i < sizeof kNames / sizeof kNames[0]; i++) {
    if (kNames[i].number == number) return kNames[i].name;
  }
  return "signal";
}

// numpy's name of a LiteRT (= TFLite) element type, and its size; 0 bits: no fixed size.
static const char *type_name(int type, int *bits) {
  static const struct { const char *name; int bits; } kTypes[] = {
      [0] = {"none", 0}, [1] = {"float32", 32}, [2] = {"int32", 32}, [3] = {"uint8", 8}, [4] = {"int64", 64},
      [TYPE_STRING] = {"string", 0}, [6] = {"bool", 8}, [7] = {"int16", 16}, [8] = {"complex64", 64},
      [9] = {"int8", 8}, [10] = {"float16", 16}, [11] = {"float64", 64}, [12] = {"complex128", 128},
      [13] = {"uint64", 64}, [14] = {"resource", 0}, [15] = {"variant", 0}, [16] = {"uint32", 32},
      [17] = {"uint16", 16}, [18] = {"int4", 4}, [19] = {"bfloat16", 16}, [20] = {"int2", 2}, [21] = {"uint4", 4},
      [22] = {"float8_e4m3fn", 8}, [23] = {"float8_e5m2", 8}};
  bool known = type >= 0 && (size_t)type < sizeof kTypes / sizeof kTypes[0];
  *bits = known ? kTypes[type].bits : 0;
  return known ? kTypes[type].name : "unknown";
}

static int rank_of(const Tensor *tensor) {
  int rank = (int)(tensor->type.layout.rank_and_flags & 0x7f);
  return rank > MAX_RANK ? MAX_RANK : rank;
}

// Bytes of a tensor packed in C order; false if its type has no fixed size or the product overflows.
static bool packed_bytes(const Tensor *tensor, size_t *bytes) {
  int bits;
  type_name(tensor->type.element_type, &bits);
  uint64_t total = (uint64_t)bits;
  for (int i = 0; i < rank_of(tensor); i++) {
    uint64_t dim = (uint64_t)tensor->type.layout.dims[i];
    if (dim != 0 && total > (UINT64_MAX >> 4) / dim) return false;
    total *= dim;
  }
  *bytes = (size_t)((total + 7) / 8);
  return bits > 0 && (uint64_t)*bytes == (total + 7) / 8;
}

// ---------------------------------------------------------------------------------------------------------------------
// JSON

typedef struct {
  FILE *file;
  bool first;  // no element yet in the innermost array or object
} Json;

// Length of the valid UTF-8 sequence at `text`, 0 if it is not one.
static size_t utf8_length(const unsigned char *text, size_t size) {
  if (text[0] < 0x80) return 1;
  size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
  if (text[0] < 0xc2 || text[0] > 0xf4 || length > size) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
  bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
  bool too_large = text[0] == 0xf4 && text[1] >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

// Control characters and bytes that are not UTF-8 become \u00XX.
static void json_text(Json *json, const char *text, size_t size) {
  const unsigned char *bytes = (const unsigned char *)text;
  fputc('"', json->file);
  for (size_t i = 0; i < size;) {
    size_t length = utf8_length(bytes + i, size - i);
    if (bytes[i] == '\n') {
      fputs("\\n", json->file);
    } else if (bytes[i] == '"' || bytes[i] == '\\') {
      fprintf(json->file, "\\%c", bytes[i]);
    } else if (length == 0 || bytes[i] < 0x20 || bytes[i] == 0x7f) {
      fprintf(json->file, "\\u%04x", bytes[i]);
    } else {
      fwrite(bytes + i, 1, length, json->file);
      i += length;
      continue;
    }
    i++;
  }
  fputc('"', json->file);
}

static void json_key(Json *json, const char *key) {
  if (!json->first) fputc(',', json->file);
  json->first = false;
  if (key != NULL) {
    fputc('\n', json->file);
    json_text(json, key, strlen(key));
    fputc(':', json->file);
  }
}

static void json_begin(Json *json, const char *key, char bracket) {
  json_key(json, key);
  fputc(bracket, json->file);
  json->first = true;
}

static void json_end(Json *json, char bracket) {
  fputc(bracket, json->file);
  json->first = false;
}

static void json_null(Json *json, const char *key) {
  json_key(json, key);
  fputs("null", json->file);
}

static void json_string(Json *json, const char *key, const char *text) {
  if (text == NULL) {
    json_null(json, key);
    return;
  }
  json_key(json, key);
  json_text(json, text, strlen(text));
}

static void json_integer(Json *json, const char *key, int64_t value) {
  json_key(json, key);
  fprintf(json->file, "%lld", (long long)value);
}

static void json_known(Json *json, const char *key, int64_t value) {  // null when unknown
  value < 0 ? json_null(json, key) : json_integer(json, key, value);
}

static void json_us(Json *json, const char *key, double value) {
  if (value < 0) {
    json_null(json, key);
    return;
  }
  json_key(json, key);
  fprintf(json->file, "%.3f", value);
}

static void json_flag(Json *json, const char *key, int value) {
  json_key(json, key);
  fputs(value < 0 ? "null" : value ? "true" : "false", json->file);
}

static void json_times(Json *json, const char *key, const double *values, long count) {
  json_begin(json, key, '[');
  for (long i = 0; i < count; i++) json_us(json, NULL, values[i]);
  json_end(json, ']');
}

static void json_tensor_fields(Json *json, size_t index, const Tensor *tensor) {
  int bits;
  json_integer(json, "index", (int64_t)index);
  json_string(json, "name", tensor->name);
  json_string(json, "dtype", type_name(tensor->type.element_type, &bits));
  json_begin(json, "shape", '[');
  for (int i = 0; i < rank_of(tensor); i++) json_integer(json, NULL, tensor->type.layout.dims[i]);
  json_end(json, ']');
  json_flag(json, "dynamic", tensor->dynamic);
  json_integer(json, "bytes", (int64_t)tensor->bytes);
}

static void json_tensors(Json *json, const char *key, const Tensor *tensors, size_t count) {
  json_begin(json, key, '[');
  for (size_t i = 0; i < count; i++) {
    json_begin(json, NULL, '{');
    json_tensor_fields(json, i, &tensors[i]);
    json_end(json, '}');
  }
  json_end(json, ']');
}

// ---------------------------------------------------------------------------------------------------------------------
// What the runtime prints. No C function tells the adapter, the node counts or the refused operations.

typedef struct {
  char *text;  // searched part of the log, cut into lines
  size_t text_size;
  char tail[TAIL_BYTES];
  size_t tail_size;
  const char *adapter, *adapter_type;
  int64_t gpu_nodes, cpu_nodes;  // -1: not printed
  const char **unsupported;
  size_t unsupported_count;
} Log;

static bool is_blank(const char *text) { return text[strspn(text, " \t\r")] == 0; }

// The number that ends right before `end` in `line`, -1 if there is none.
static int64_t number_before(const char *line, const char *end) {
  const char *start = end;
  while (start > line && isdigit((unsigned char)start[-1])) start--;
  return start == end ? -1 : strtoll(start, NULL, 10);
}

static void parse_line(Log *log, char *line, bool *in_list) {
  static const char kMixed[] = " operations will run on the GPU, and the remaining ";
  static const char kNone[] = "No operations will run on the GPU, and all ";
  static const char kAdapter[] = "Selected adapter: ";
  char *found;
  if ((found = strstr(line, kAdapter)) != NULL) {
    log->adapter = found + sizeof kAdapter - 1;
    found = strstr(log->adapter, "adapterType=");
    log->adapter_type = found ? found + strlen("adapterType=") : NULL;
  } else if (strstr(line, "Following operations are not supported by GPU delegate:") != NULL) {
    *in_list = true;
  } else if ((found = strstr(line, kMixed)) != NULL || (found = strstr(line, kNone)) != NULL) {
    // Printed once for each subgraph that has an unsupported operation; the sum covers the model.
    bool none = strncmp(found, kNone, sizeof kNone - 1) == 0;
    int64_t gpu = none ? 0 : number_before(line, found);
    int64_t cpu = strtoll(found + (none ? sizeof kNone : sizeof kMixed) - 1, NULL, 10);
    if (gpu >= 0) {
      log->gpu_nodes = (log->gpu_nodes < 0 ? 0 : log->gpu_nodes) + gpu;
      log->cpu_nodes = (log->cpu_nodes < 0 ? 0 : log->cpu_nodes) + cpu;
    }
    *in_list = false;
  } else if (*in_list && !is_blank(line)) {
    const char **grown = realloc(log->unsupported, (log->unsupported_count + 1) * sizeof *grown);
    if (grown == NULL) return;
    log->unsupported = grown;
    log->unsupported[log->unsupported_count++] = line;
  }
}

static Log read_log(const char *out) {
  Log log = {.gpu_nodes = -1, .cpu_nodes = -1};
  char *path = path_in(out, "stderr.log");
  int file = open(path, O_RDONLY | O_CLOEXEC);
  free(path);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) return log;
  size_t size = info.st_size > LOG_BYTES ? LOG_BYTES : (size_t)info.st_size;
  log.text = allocate(size + 1, 1);
  ssize_t got = pread(file, log.text, size, 0);
  log.text_size = got < 0 ? 0 : (size_t)got;
  log.text[log.text_size] = 0;
  off_t start = info.st_size > TAIL_BYTES ? info.st_size - TAIL_BYTES : 0;
  got = pread(file, log.tail, TAIL_BYTES, start);
  log.tail_size = got < 0 ? 0 : (size_t)got;
  close(file);
  bool in_list = false;
  for (char *line = log.text, *next; line != NULL; line = next) {
    if ((next = strchr(line, '\n')) != NULL) *next++ = 0;
    parse_line(&log, line, &in_list);
  }
  return log;
}

// The part of a line of the log that starts with `words`, NULL if no line holds them.
static const char *find_line(const Log *log, const char *words) {
  const char *end = log->text == NULL ? NULL : log->text + log->text_size;
  for (const char *line = log->text; line < end; line += strlen(line) + 1) {
    const char *found = strstr(line, words);
    if (found != NULL) return found;
  }
  return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// result.json

static void write_error(Json *json, const Run *run, const Error *error) {
  if (error == NULL) {
    json_null(json, "error");
    return;
  }
  json_begin(json, "error", '{');
  json_string(json, "kind", kKinds[error->kind].name);
  json_integer(json, "exit_code", kKinds[error->kind].exit_code);
  json_string(json, "stage", kStages[run->facts->stage]);
  json_string(json, "message", error->message);
  json_known(json, "litert_status", error->status);
  json_string(json, "litert_status_name", error->status < 0 ? NULL : status_name(error->status));
  json_known(json, "signal", error->signal > 0 ? error->signal : -1);
  json_string(json, "signal_name", error->signal > 0 ? signal_name(error->signal) : NULL);
  json_end(json, '}');
}

static void write_log_fields(Json *json, const char *out) {
  fflush(stdout);
  Log log = read_log(out);
  json_key(json, "stderr_tail");
  json_text(json, log.tail, log.tail_size);
  json_string(json, "adapter", log.adapter);
  json_string(json, "adapter_type", log.adapter_type);
  json_known(json, "gpu_nodes", log.gpu_nodes);
  json_known(json, "cpu_nodes", log.cpu_nodes);
  json_begin(json, "unsupported_ops", '[');
  for (size_t i = 0; i < log.unsupported_count; i++) json_string(json, NULL, log.unsupported[i]);
  json_end(json, ']');
}

static void write_request(Json *json, const Run *run) {
  const Options *options = run->options;
  if (options->describe) return;
  json_string(json, "accelerator", kAccelerators[options->accelerator]);
  json_string(json, "precision", kPrecisions[options->precision]);
  json_string(json, "kernels", kKernels[options->kernels]);
  json_string(json, "backend", kBackends[options->backend]);
  json_integer(json, "threads", options->threads);
  json_string(json, "cpu_options", run->cpu_options[0] ? run->cpu_options : NULL);
  json_string(json, "gpu_options", run->gpu_options[0] ? run->gpu_options : NULL);
}

static void write_facts(Json *json, const Facts *facts) {
  json_known(json, "model_bytes", facts->model_bytes);
  json_known(json, "model_ops", facts->model_ops);
  json_known(json, "runtime_bytes", facts->runtime_bytes);
  json_string(json, "runtime_abi", facts->env_first < 0 ? NULL : facts->env_first ? "env-first" : "model-first");
  json_begin(json, "accelerators", '[');
  for (int i = 0; i < facts->accelerator_count; i++) {
    const Accelerator *accelerator = &facts->accelerators[i];
    char version[48];
    snprintf(version, sizeof version, "%d.%d.%d", accelerator->version.major, accelerator->version.minor,
             accelerator->version.patch);
    json_begin(json, NULL, '{');
    json_string(json, "name", accelerator->name);
    json_string(json, "version", version);
    json_integer(json, "hardware", accelerator->hardware);
    json_end(json, '}');
  }
  json_end(json, ']');
  json_flag(json, "gpu_environment", facts->gpu_environment);
  json_flag(json, "fully_accelerated", facts->fully_accelerated);
  json_flag(json, "non_cpu_fully_accelerated", facts->non_cpu_fully_accelerated);
  json_flag(json, "all_on_accelerator", facts->all_on_accelerator);
  json_string(json, "all_on_accelerator_evidence", facts->evidence[0] ? facts->evidence : NULL);
  json_us(json, "dlopen_us", facts->dlopen_us);
  json_us(json, "environment_us", facts->environment_us);
  json_us(json, "load_us", facts->load_us);
  json_us(json, "compile_us", facts->compile_us);
  json_us(json, "buffers_us", facts->buffers_us);
  json_known(json, "rss_before_compile_bytes", facts->rss_before_compile);
  json_known(json, "rss_end_bytes", facts->rss_end);
  json_known(json, "peak_rss_bytes", facts->peak_rss);
  json_string(json, "signature", facts->signature_index < 0 ? NULL : facts->signature);
  json_known(json, "signature_index", facts->signature_index);
}

static void write_signatures(Json *json, const Run *run) {
  json_begin(json, "signatures", '[');
  for (size_t i = 0; i < run->signature_count; i++) json_string(json, NULL, run->signatures[i].key);
  json_end(json, ']');
  if (!run->options->describe) return;
  json_begin(json, "signature_details", '[');
  for (size_t i = 0; i < run->signature_count; i++) {
    const Signature *signature = &run->signatures[i];
    json_begin(json, NULL, '{');
    json_integer(json, "index", (int64_t)i);
    json_string(json, "key", signature->key);
    json_known(json, "ops", signature->ops);
    json_tensors(json, "inputs", signature->inputs, signature->input_count);
    json_tensors(json, "outputs", signature->outputs, signature->output_count);
    json_end(json, '}');
  }
  json_end(json, ']');
}

static void output_file(char *name, size_t size, long sample, size_t output) {
  snprintf(name, size, "s%ld_o%zu.bin", sample, output);
}

static void write_measurements(Json *json, const Run *run) {
  const Signature *signature = run->signature;
  json_begin(json, "samples", '[');
  for (long i = 0; i < run->sample_count; i++) {
    json_begin(json, NULL, '{');
    json_integer(json, "sample", i);
    json_us(json, "upload_us", run->samples[i].upload_us);
    json_us(json, "invoke_us", run->samples[i].invoke_us);
    json_us(json, "read_us", run->samples[i].read_us);
    json_end(json, '}');
  }
  json_end(json, ']');
  json_times(json, "warmup_us", run->warmup_us, run->warmup_count);
  json_times(json, "invoke_us", run->invoke_us, run->run_count);
  json_times(json, "read_us", run->read_us, run->run_count);
  json_flag(json, "outputs_repeatable", run->repeatable);
  json_tensors(json, "inputs", signature ? signature->inputs : NULL, signature ? signature->input_count : 0);
  json_begin(json, "outputs", '[');
  size_t outputs = signature ? signature->output_count : 0;
  for (long sample = 0; sample < run->sample_count; sample++) {
    for (size_t i = 0; i < outputs; i++) {
      char text[64];
      json_begin(json, NULL, '{');
      json_integer(json, "sample", sample);
      json_tensor_fields(json, i, &signature->outputs[i]);
      snprintf(text, sizeof text, "%08x", (unsigned)run->checksums[(size_t)sample * outputs + i]);
      json_string(json, "crc32", text);
      output_file(text, sizeof text, sample, i);
      json_string(json, "file", text);
      json_end(json, '}');
    }
  }
  json_end(json, ']');
}

// Writes result.json.tmp, then renames it: the record is there whole or not at all.
static bool write_result(const Run *run, const Error *error) {
  const Options *options = run->options;
  char *temporary = path_in(options->out, "result.json.tmp"), *path = path_in(options->out, "result.json");
  FILE *file = fopen(temporary, "we");
  if (file == NULL) return false;
  Json json = {file, true};
  struct utsname system;
  bool known = uname(&system) >= 0;
  json_begin(&json, NULL, '{');
  json_integer(&json, "schema", RESULT_SCHEMA);
  json_string(&json, "tool", "delegate_bench");
  json_string(&json, "tool_version", TOOL_VERSION);
  json_string(&json, "run_id", options->run_id);
  json_string(&json, "status", error == NULL ? "ok" : "error");
  write_error(&json, run, error);
#ifdef __ANDROID__
  json_string(&json, "os", "Android");
#else
  json_string(&json, "os", known ? system.sysname : NULL);
#endif
  json_string(&json, "os_release", known ? system.release : NULL);
  json_string(&json, "machine", known ? system.machine : NULL);
  write_request(&json, run);
  write_facts(&json, run->facts);
  write_log_fields(&json, options->out);
  write_signatures(&json, run);
  if (!options->describe) write_measurements(&json, run);
  json_end(&json, '}');
  fputc('\n', file);
  bool good = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
  good = fclose(file) == 0 && good;
  return good && rename(temporary, path) == 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// The child: every step ends well or in fail().

// Failures that only the runtime's own words tell from a fault: this model can never run there.
static bool never_runs(const char *out, char *message, size_t size) {
  static const char kCustom[] = "Encountered unresolved custom op: ";
  fflush(stdout);
  Log log = read_log(out);
  const char *found;
  if (find_line(&log, "Variable tensors not yet supported") != NULL) {
    snprintf(message, size, "the model keeps state in variable tensors, which LiteRT's compiled models do not support");
  } else if (find_line(&log, "Variant tensors not yet supported") != NULL) {
    snprintf(message, size, "the model has variant tensors, which LiteRT does not support");
  } else if (find_line(&log, "Select TensorFlow op(s), included in the given model") != NULL) {
    snprintf(message, size, "the model needs TensorFlow (Flex) operations, which this runtime does not have");
  } else if ((found = find_line(&log, kCustom)) != NULL) {
    found += sizeof kCustom - 1;
    snprintf(message, size, "the model needs the custom operation '%.*s', which this runtime does not have",
             (int)strcspn(found, ".\r"), found);
  } else {
    return false;
  }
  return true;
}

static _Noreturn void finish(const Run *run, const Error *error) {
  bool written = write_result(run, error);
  // No teardown: a driver that crashes while it unloads must not undo a finished measurement.
  _exit(!written ? kKinds[KIND_OUTPUT].exit_code : error == NULL ? 0 : kKinds[error->kind].exit_code);
}

static _Noreturn void fail(const Run *run, Kind kind, int status, const char *format, ...) {
  Error error = {.kind = kind, .status = status};
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error.message, sizeof error.message, format, arguments);
  va_end(arguments);
  if (status != STATUS_NONE) {
    size_t used = strlen(error.message);
    snprintf(error.message + used, sizeof error.message - used, " (LiteRT status %d, %s)", status, status_name(status));
    if ((kind == KIND_MODEL || kind == KIND_COMPILE || kind == KIND_RUN) &&
        never_runs(run->options->out, error.message, sizeof error.message)) {
      error.kind = KIND_UNSUPPORTED;
    }
  }
  finish(run, &error);
}

static void check(const Run *run, int status, Kind kind, const char *what) {
  if (status != STATUS_OK) fail(run, kind, status, "%s failed", what);
}

static void enter(Run *run, Stage stage) { atomic_store(&run->facts->stage, (int)stage); }

static void load_runtime(Run *run) {
  enter(run, STAGE_LOAD_RUNTIME);
  const Options *options = run->options;
  struct stat info;
  if (stat(options->lib, &info) == 0) run->facts->runtime_bytes = (int64_t)info.st_size;
  double start = now_us();
  void *library = dlopen(options->lib, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    const char *why = dlerror();
    fail(run, KIND_RUNTIME_LIBRARY, STATUS_NONE, "the runtime library cannot be loaded: %s", why ? why : options->lib);
  }
  run->facts->dlopen_us = now_us() - start;
  const char *missing = NULL;
  void *symbol;
  // memcpy: ISO C has no conversion between data and function pointers.
#define RESOLVE(result, name, arguments) \
  symbol = dlsym(library, "LiteRt" #name); \
  memcpy(&api.name, &symbol, sizeof symbol);
#define RESOLVE_REQUIRED(result, name, arguments) \
  RESOLVE(result, name, arguments)                \
  if (symbol == NULL && missing == NULL) missing = "LiteRt" #name;
  REQUIRED_FUNCTIONS(RESOLVE_REQUIRED)
  OPTIONAL_FUNCTIONS(RESOLVE)
  if (missing != NULL) {
    fail(run, KIND_ABI, STATUS_NONE, "%s is not a usable LiteRT runtime: it lacks %s", options->lib, missing);
  }
  // Up to 2.1.2 options were typed objects; the text options below would be misread.
  if (dlsym(library, "LiteRtCreateCpuOptions") != NULL) {
    fail(run, KIND_ABI, STATUS_NONE, "this LiteRT runtime is older than 2.1.3; 2.1.3 or newer is needed");
  }
  // 2.1.6 put the environment first in CreateModelFromBuffer, under the same name; CreateModelFromFd came with it.
  run->facts->env_first = dlsym(library, "LiteRtCreateModelFromFd") != NULL;
  run->can_fp16acc32 = dlsym(library, "kLiteRtRuntimeBuiltin") != NULL;  // both came with 2.2.0
}

static void create_environment(Run *run) {
  enter(run, STAGE_ENVIRONMENT);
  const Options *options = run->options;
  Facts *facts = run->facts;
  char folder[4096];
  const char *slash = strrchr(options->lib, '/');
  if (options->accel_dir != NULL) {
    copy_text(folder, sizeof folder, options->accel_dir);
  } else {
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - options->lib) : 1, slash ? options->lib : ".");
  }
  EnvOption env_options[2];
  memset(env_options, 0, sizeof env_options);
  env_options[0].tag = TAG_RUNTIME_LIBRARY_DIR;
  env_options[0].value.type = ANY_STRING;
  env_options[0].value.value.string = folder;
  // Only what is asked for: a CPU run neither loads the GPU's 19 MB nor risks its driver. (2.1.3 ignores this.)
  env_options[1].tag = TAG_AUTO_REGISTER_ACCELERATORS;
  env_options[1].value.type = ANY_INT;
  env_options[1].value.value.integer = kHardware[options->accelerator];
  double start = now_us();
  check(run, api.CreateEnvironment(2, env_options, &run->environment), KIND_RUNTIME_LIBRARY, "creating LiteRT's environment");
  facts->environment_us = now_us() - start;
  size_t count = 0;
  api.GetNumAccelerators(run->environment, &count);
  for (size_t i = 0; i < count && facts->accelerator_count < MAX_ACCELERATORS; i++) {
    Accelerator *accelerator = &facts->accelerators[facts->accelerator_count];
    void *handle = NULL;
    const char *name = NULL;
    if (api.GetAccelerator(run->environment, i, &handle) != STATUS_OK) continue;
    api.GetAcceleratorName(handle, &name);
    copy_text(accelerator->name, sizeof accelerator->name, name);
    api.GetAcceleratorVersion(handle, &accelerator->version);
    api.GetAcceleratorHardwareSupport(handle, &accelerator->hardware);
    facts->accelerator_count++;
  }
}

// The runtime ignores a backend that its GPU library does not have, so the library's own name has to be believed.
static void check_accelerator(const Run *run) {
  const Options *options = run->options;
  if (options->accelerator == ACCELERATOR_CPU) return;
  const char *name = NULL;
  for (int i = 0; i < run->facts->accelerator_count; i++) {
    if (run->facts->accelerators[i].hardware & HW_GPU) name = run->facts->accelerators[i].name;
  }
  if (name == NULL) {
    fail(run, KIND_UNAVAILABLE, STATUS_NONE, "no GPU accelerator library was found or could be loaded in %s",
         options->accel_dir ? options->accel_dir : "the runtime's folder");
  }
  bool webgpu = strstr(name, "WebGPU") != NULL;
  bool other = webgpu || strstr(name, "Metal") != NULL || strstr(name, "Vulkan") != NULL;
  if ((options->backend == BACKEND_WEBGPU && !webgpu) || (options->backend > BACKEND_AUTO &&
      options->backend != BACKEND_WEBGPU && other)) {
    fail(run, KIND_UNAVAILABLE, STATUS_NONE, "backend %s was asked for, but the GPU accelerator found is '%s'",
         kBackends[options->backend], name);
  }
  if (options->precision == PRECISION_FP16ACC32 && !run->can_fp16acc32) {
    fail(run, KIND_UNSUPPORTED, STATUS_NONE, "precision fp16acc32 needs LiteRT 2.2.0 or newer");
  }
}

static void describe_tensor(const Run *run, void *handle, const char *name, Tensor *tensor) {
  if (handle == NULL || api.GetRankedTensorType(handle, &tensor->type) != STATUS_OK) {
    fail(run, KIND_UNSUPPORTED, STATUS_NONE, "tensor '%s' has no known number of dimensions", name ? name : "");
  }
  tensor->name = name ? name : "";
  // Not the model's: a managed buffer is always dense.
  tensor->type.layout.rank_and_flags = (uint32_t)rank_of(tensor);
  for (int i = 0; i < rank_of(tensor); i++) {
    if (tensor->type.layout.dims[i] >= 0) continue;
    tensor->type.layout.dims[i] = 1;
    tensor->dynamic = true;
  }
  packed_bytes(tensor, &tensor->bytes);
}

static void read_signature(const Run *run, size_t index, Signature *signature) {
  void *handle = NULL, *subgraph = NULL, *tensor = NULL;
  size_t ops = 0;
  const char *name = NULL;
  signature->key = "";
  check(run, api.GetModelSignature(run->model, index, &handle), KIND_MODEL, "reading a signature");
  api.GetSignatureKey(handle, &signature->key);
  signature->ops = -1;
  if (api.GetSignatureSubgraph(handle, &subgraph) == STATUS_OK && api.GetNumSubgraphOps(subgraph, &ops) == STATUS_OK) {
    signature->ops = (int64_t)ops;
  }
  // The order is that of the subgraph, which RunCompiledModel expects too, whatever order the signature lists.
  api.GetNumSignatureInputs(handle, &signature->input_count);
  api.GetNumSignatureOutputs(handle, &signature->output_count);
  signature->inputs = allocate(signature->input_count, sizeof(Tensor));
  signature->outputs = allocate(signature->output_count, sizeof(Tensor));
  for (size_t i = 0; i < signature->input_count; i++) {
    api.GetSignatureInputName(handle, i, &name);
    api.GetSignatureInputTensorByIndex(handle, i, &tensor);
    describe_tensor(run, tensor, name, &signature->inputs[i]);
  }
  for (size_t i = 0; i < signature->output_count; i++) {
    api.GetSignatureOutputName(handle, i, &name);
    api.GetSignatureOutputTensorByIndex(handle, i, &tensor);
    describe_tensor(run, tensor, name, &signature->outputs[i]);
  }
}

static void load_model(Run *run) {
  enter(run, STAGE_LOAD_MODEL);
  const Options *options = run->options;
  size_t size = 0;
  double start = now_us();
  // From memory, not from a file: only this way does every release verify the file first. Without, one damaged file in
  // three crashes the process.
  run->model_data = map_file(options->model, &size);
  if (run->model_data == NULL) {
    fail(run, KIND_MODEL, STATUS_NONE, "the model %s cannot be read: %s", options->model, strerror(errno));
  }
  run->facts->model_bytes = (int64_t)size;
  if (size < 8 || memcmp((const char *)run->model_data + 4, "TFL3", 4) != 0) {
    fail(run, KIND_MODEL, STATUS_NONE, "%s is not a TFLite model (%zu bytes, no 'TFL3' mark)", options->model, size);
  }
  void *symbol;
  memcpy(&symbol, &api.CreateModelFromBuffer, sizeof symbol);
  int status;
  if (run->facts->env_first) {
    CreateModelEnvFirst create;
    memcpy(&create, &symbol, sizeof create);
    status = create(run->environment, run->model_data, size, &run->model);
  } else {
    CreateModelModelFirst create;
    memcpy(&create, &symbol, sizeof create);
    status = create(run->model_data, size, &run->model);
  }
  check(run, status, KIND_MODEL, "loading the model");
  run->facts->load_us = now_us() - start;
  check(run, api.GetNumModelSignatures(run->model, &run->signature_count), KIND_MODEL, "counting the signatures");
  run->signatures = allocate(run->signature_count, sizeof(Signature));
  for (size_t i = 0; i < run->signature_count; i++) read_signature(run, i, &run->signatures[i]);
}

static void select_signature(Run *run) {
  const char *key = run->options->signature;
  for (size_t i = 0; i < run->signature_count && run->signature == NULL; i++) {
    if (key != NULL && strcmp(key, run->signatures[i].key) != 0) continue;
    run->signature = &run->signatures[i];
    run->facts->signature_index = (int64_t)i;
    run->facts->model_ops = run->signature->ops;
    copy_text(run->facts->signature, sizeof run->facts->signature, run->signature->key);
  }
  if (run->signature == NULL && key == NULL) fail(run, KIND_MODEL, STATUS_NONE, "the model has no signature");
  if (run->signature == NULL) fail(run, KIND_INPUT, STATUS_NONE, "the model has no signature '%s'", key);
  const Signature *signature = run->signature;
  for (size_t i = 0; i < signature->input_count + signature->output_count; i++) {
    bool output = i >= signature->input_count;
    const Tensor *tensor = output ? &signature->outputs[i - signature->input_count] : &signature->inputs[i];
    size_t bytes;
    int bits;
    const char *type = type_name(tensor->type.element_type, &bits);
    if (tensor->type.element_type == TYPE_STRING) {
      fail(run, KIND_UNSUPPORTED, STATUS_NONE, "%s '%s' is a tensor of strings, which have no fixed size",
           output ? "output" : "input", tensor->name);
    }
    if (!packed_bytes(tensor, &bytes)) {
      fail(run, KIND_UNSUPPORTED, STATUS_NONE, "%s '%s' has type %s or a size beyond memory",
           output ? "output" : "input", tensor->name, type);
    }
  }
}

// All inputs of all samples, mapped: reading files is no part of any measured time.
static const void **map_inputs(Run *run) {
  enter(run, STAGE_INPUTS);
  const Options *options = run->options;
  const Signature *signature = run->signature;
  size_t needed = (size_t)options->samples * signature->input_count;
  if ((size_t)options->input_count != needed) {
    fail(run, KIND_INPUT, STATUS_NONE, "%d input files were given; %d samples of %zu inputs need %zu",
         options->input_count, options->samples, signature->input_count, needed);
  }
  const void **data = allocate(needed, sizeof *data);
  for (size_t i = 0; i < needed; i++) {
    const Tensor *tensor = &signature->inputs[i % signature->input_count];
    size_t size = 0;
    data[i] = map_file(options->inputs[i], &size);
    if (data[i] == NULL) {
      fail(run, KIND_INPUT, STATUS_NONE, "the input file %s cannot be read: %s", options->inputs[i], strerror(errno));
    }
    if (size != tensor->bytes) {
      fail(run, KIND_INPUT, STATUS_NONE, "the input file %s has %zu bytes; input %zu '%s' has %zu", options->inputs[i],
           size, i % signature->input_count, tensor->name, tensor->bytes);
    }
  }
  return data;
}

static void add_text_options(Run *run, void *options, const char *id, const char *text) {
  char *copy = strdup(text);
  void *opaque = NULL;
  if (copy == NULL) fail(run, KIND_RUN, STATUS_NONE, "out of memory");
  check(run, api.CreateOpaqueOptions(id, copy, free, &opaque), KIND_COMPILE, "creating the options");
  check(run, api.AddOpaqueOptions(options, opaque), KIND_COMPILE, "adding the options");
}

// Decides what ran where from what the runtime states, and from its log where it states nothing.
static void judge_delegation(Run *run) {
  const Options *options = run->options;
  Facts *facts = run->facts;
  if (options->accelerator != ACCELERATOR_CPU) {
    fflush(stdout);
    Log log = read_log(options->out);
    if (log.cpu_nodes > 0 || log.gpu_nodes == 0) {
      facts->all_on_accelerator = 0;
      snprintf(facts->evidence, sizeof facts->evidence, "log: %lld operations on the GPU, %lld on the CPU",
               (long long)log.gpu_nodes, (long long)log.cpu_nodes);
    } else if (facts->non_cpu_fully_accelerated >= 0) {
      facts->all_on_accelerator = facts->non_cpu_fully_accelerated;
      copy_text(facts->evidence, sizeof facts->evidence, "LiteRtCompiledModelIsNonCpuFullyAccelerated");
    } else if (facts->fully_accelerated == 1 && options->accelerator == ACCELERATOR_GPU) {
      // Before 2.3.0. Such a compilation fails when an operation is left over.
      facts->all_on_accelerator = 1;
      copy_text(facts->evidence, sizeof facts->evidence, "compiled for the GPU alone; no operation was left over");
    } else if (facts->fully_accelerated == 1 && log.adapter != NULL) {
      // Before 2.3.0. XNNPACK counts as an accelerator, but the GPU delegate speaks up about what it leaves over.
      facts->all_on_accelerator = 1;
      copy_text(facts->evidence, sizeof facts->evidence, "the GPU delegate's log names no operation left over");
    }
    if (options->accelerator == ACCELERATOR_GPU && facts->all_on_accelerator != 1) {
      fail(run, KIND_NOT_FULLY, STATUS_NONE, "the GPU alone was asked for, but not every operation is proven to be on it");
    }
  }
  // 2.1.3 ignores kernel_mode: XNNPACK counts as an accelerator, the other kernels do not.
  bool xnnpack = facts->fully_accelerated == 1 &&
                 (options->accelerator == ACCELERATOR_CPU || facts->all_on_accelerator == 0);
  if (options->kernels != KERNELS_XNNPACK && xnnpack && facts->model_ops > 0) {
    fail(run, KIND_UNSUPPORTED, STATUS_NONE, "this LiteRT runtime ignores the choice of %s kernels and runs XNNPACK; "
         "2.1.5 or newer is needed", kKernels[options->kernels]);
  }
}

static int create_compiled(Run *run, int hardware, void **compiled) {
  void *compilation = NULL;
  check(run, api.CreateOptions(&compilation), KIND_COMPILE, "creating the options");
  check(run, api.SetOptionsHardwareAccelerators(compilation, hardware), KIND_COMPILE, "choosing the accelerator");
  if (run->cpu_options[0]) {
    // Under both ids: XNNPACK reads the first, the interpreter the second. With the first alone "reference" silently
    // gives the optimised built-in kernels, and those ignore num_threads.
    add_text_options(run, compilation, "xnnpack", run->cpu_options);
    add_text_options(run, compilation, "cpu_delegate", run->cpu_options);
  }
  if (run->gpu_options[0]) add_text_options(run, compilation, "gpu_options", run->gpu_options);
  return api.CreateCompiledModel(run->environment, run->model, compilation, compiled);
}

static void compile(Run *run) {
  enter(run, STAGE_COMPILE);
  int hardware = kHardware[run->options->accelerator];
  Facts *facts = run->facts;
  facts->rss_before_compile = resident_bytes(getpid());
  double start = now_us();
  int status = create_compiled(run, hardware, &run->compiled);
  facts->compile_us = now_us() - start;
  bool flag = false;
  if (hardware & HW_GPU) {
    api.EnvironmentHasGpuEnvironment(run->environment, &flag);
    facts->gpu_environment = flag;
    // "No adapter" is a bare RuntimeFailure without a GPU environment. So is a model that nothing can compile, because
    // the GPU is tried last: the CPU tells them apart.
    void *for_cpu = NULL;
    if (status != STATUS_OK && !flag && create_compiled(run, HW_CPU, &for_cpu) == STATUS_OK) {
      fail(run, KIND_UNAVAILABLE, status, "no usable GPU adapter was found");
    }
  }
  check(run, status, KIND_COMPILE, "compiling the model");
  if (api.CompiledModelIsFullyAccelerated(run->compiled, &flag) == STATUS_OK) facts->fully_accelerated = flag;
  if (api.CompiledModelIsNonCpuFullyAccelerated != NULL &&
      api.CompiledModelIsNonCpuFullyAccelerated(run->compiled, &flag) == STATUS_OK) {
    facts->non_cpu_fully_accelerated = flag;
  }
  judge_delegation(run);
}

// Output shapes that the model leaves open are known once the inputs' shapes are.
static void resolve_outputs(Run *run) {
  Signature *signature = run->signature;
  Layout *layouts = allocate(signature->output_count, sizeof *layouts);
  int status = api.GetCompiledModelOutputTensorLayouts(run->compiled, (size_t)run->facts->signature_index,
                                                       signature->output_count, layouts, true);
  check(run, status, KIND_RUN, "allocating the model's tensors");
  uint64_t total = 0;
  for (size_t i = 0; i < signature->output_count; i++) {
    Tensor *tensor = &signature->outputs[i];
    tensor->type.layout.rank_and_flags = layouts[i].rank_and_flags & 0x7f;
    for (int axis = 0; axis < rank_of(tensor); axis++) {
      tensor->type.layout.dims[axis] = layouts[i].dims[axis];
      if (layouts[i].dims[axis] < 0) {
        fail(run, KIND_RUN, STATUS_NONE, "the shape of output '%s' depends on the data, which LiteRT does not support",
             tensor->name);
      }
    }
    if (!packed_bytes(tensor, &tensor->bytes)) {
      fail(run, KIND_RUN, STATUS_NONE, "output '%s' is larger than memory", tensor->name);
    }
    total += tensor->bytes;
  }
  free(layouts);
  uint64_t limit = run->options->output_limit;
  if (limit > 0 && total > limit / (uint64_t)run->options->samples) {
    fail(run, KIND_OUTPUT_LIMIT, STATUS_NONE, "%d samples of %llu output bytes exceed the limit of %llu bytes",
         run->options->samples, (unsigned long long)total, (unsigned long long)limit);
  }
}

static void create_buffer(Run *run, size_t index, Tensor *tensor, bool output) {
  void *requirements = NULL;
  size_t signature = (size_t)run->facts->signature_index;
  int status = output
      ? api.GetCompiledModelOutputBufferRequirements(run->compiled, signature, index, &requirements)
      : api.GetCompiledModelInputBufferRequirements(run->compiled, signature, index, &requirements);
  check(run, status, KIND_RUN, "asking what buffer a tensor needs");
  status = api.CreateManagedTensorBufferFromRequirements(run->environment, &tensor->type, requirements, &tensor->buffer);
  if (status != STATUS_OK) {
    fail(run, KIND_RUN, status, "creating the buffer of %s '%s' failed", output ? "output" : "input", tensor->name);
  }
  int type = BUFFER_HOST;
  size_t size = tensor->bytes;
  api.GetTensorBufferType(tensor->buffer, &type);
  api.GetTensorBufferSize(tensor->buffer, &size);
  // GPU buffers may be smaller (fp16 inside) or padded; LiteRT converts when they are locked.
  if (type == BUFFER_HOST && size < tensor->bytes) {
    fail(run, KIND_RUN, STATUS_NONE, "the size of %s '%s' depends on the data, which LiteRT does not support",
         output ? "output" : "input", tensor->name);
  }
  if (!output) return;
  tensor->host = allocate(tensor->bytes, 1);
  tensor->first = allocate(tensor->bytes, 1);
  memset(tensor->host, 0xff, tensor->bytes);  // pages are touched now, not while timing
  memset(tensor->first, 0xff, tensor->bytes);
}

static void create_buffers(Run *run) {
  enter(run, STAGE_BUFFERS);
  Signature *signature = run->signature;
  double start = now_us();
  resolve_outputs(run);
  for (size_t i = 0; i < signature->input_count; i++) create_buffer(run, i, &signature->inputs[i], false);
  for (size_t i = 0; i < signature->output_count; i++) create_buffer(run, i, &signature->outputs[i], true);
  run->facts->buffers_us = now_us() - start;
}

// Copies between a buffer and host memory. Locking waits for the accelerator and converts its layout.
static int transfer(const Tensor *tensor, const void *from, void *to) {
  void *memory = NULL;
  int status = api.LockTensorBuffer(tensor->buffer, &memory, from ? BUFFER_WRITE : BUFFER_READ);
  if (status != STATUS_OK) return status;
  memcpy(from ? memory : to, from ? from : memory, tensor->bytes);
  return api.UnlockTensorBuffer(tensor->buffer);
}

static double upload(Run *run, const void *const *data) {
  double start = now_us();
  for (size_t i = 0; i < run->signature->input_count; i++) {
    check(run, transfer(&run->signature->inputs[i], data[i], NULL), KIND_RUN, "writing an input");
  }
  return now_us() - start;
}

typedef struct {
  void **inputs, **outputs;
} Handles;

static Handles handles_of(const Signature *signature) {
  Handles handles = {allocate(signature->input_count, sizeof(void *)), allocate(signature->output_count, sizeof(void *))};
  for (size_t i = 0; i < signature->input_count; i++) handles.inputs[i] = signature->inputs[i].buffer;
  for (size_t i = 0; i < signature->output_count; i++) handles.outputs[i] = signature->outputs[i].buffer;
  return handles;
}

// One inference. On a GPU the call may return before the work is done: only with the outputs read is it over, so both
// parts are timed. Nothing of ours is allocated or written to a file in here.
static void run_once(Run *run, const Handles *handles, double *invoke_us, double *read_us) {
  const Signature *signature = run->signature;
  for (size_t i = 0; i < signature->output_count; i++) {
    bool has_event = false;  // left by the previous run; the runtime refuses outputs that have one
    api.HasTensorBufferEvent(handles->outputs[i], &has_event);
    if (has_event) api.ClearTensorBufferEvent(handles->outputs[i]);
  }
  double start = now_us();
  int status = api.RunCompiledModel(run->compiled, (size_t)run->facts->signature_index, signature->input_count,
                                    handles->inputs, signature->output_count, handles->outputs);
  double middle = now_us();
  check(run, status, KIND_RUN, "running the model");
  for (size_t i = 0; i < signature->output_count && status == STATUS_OK; i++) {
    status = transfer(&signature->outputs[i], NULL, signature->outputs[i].host);
  }
  *invoke_us = middle - start;
  *read_us = now_us() - middle;
  check(run, status, KIND_RUN, "reading an output");
}

static void save_outputs(Run *run, long sample) {
  Signature *signature = run->signature;
  for (size_t i = 0; i < signature->output_count; i++) {
    Tensor *tensor = &signature->outputs[i];
    char name[64];
    output_file(name, sizeof name, sample, i);
    char *path = path_in(run->options->out, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || !write_all(file, tensor->host, tensor->bytes) || close(file) != 0) {
      fail(run, KIND_OUTPUT, STATUS_NONE, "the output file %s cannot be written: %s", path, strerror(errno));
    }
    free(path);
    run->checksums[(size_t)sample * signature->output_count + i] = crc32_of(tensor->host, tensor->bytes);
    if (sample == 0) memcpy(tensor->first, tensor->host, tensor->bytes);
  }
}

static void run_samples(Run *run, const Handles *handles, const void *const *data) {
  const Signature *signature = run->signature;
  run->samples = allocate((size_t)run->options->samples, sizeof(Sample));
  run->checksums = allocate((size_t)run->options->samples * signature->output_count, sizeof(uint32_t));
  for (long i = 0; i < run->options->samples; i++) {
    enter(run, i == 0 ? STAGE_FIRST_RUN : STAGE_SAMPLES);
    Sample *sample = &run->samples[i];
    sample->upload_us = upload(run, data + (size_t)i * signature->input_count);
    run_once(run, handles, &sample->invoke_us, &sample->read_us);
    save_outputs(run, i);
    run->sample_count = i + 1;
  }
}

static void make_room(double **values, long count, long *capacity) {
  if (count < *capacity) return;
  *capacity = count < 1024 ? 1024 : count * 2;
  *values = realloc(*values, (size_t)*capacity * sizeof **values);
  if (*values == NULL) abort();
}

// Runs until both `count` and `seconds` are reached; max_seconds and RUNS_KEPT cut it short, but not to nothing.
static long repeat(Run *run, const Handles *handles, long count, double seconds, bool timed) {
  long done = 0, read_capacity = run->run_capacity;
  double start = now_us();
  for (;; done++) {
    double elapsed = (now_us() - start) / 1e6;
    if (done >= count && elapsed >= seconds) break;
    if (done > 0 && elapsed >= run->options->max_seconds) break;
    if (done >= count && done >= RUNS_KEPT) break;
    double invoke_us, read_us;
    if (timed) {
      make_room(&run->invoke_us, done, &run->run_capacity);
      make_room(&run->read_us, done, &read_capacity);
      run_once(run, handles, &invoke_us, &read_us);
      run->invoke_us[done] = invoke_us;
      run->read_us[done] = read_us;
    } else {
      make_room(&run->warmup_us, done, &run->warmup_capacity);
      run_once(run, handles, &invoke_us, &read_us);
      run->warmup_us[done] = invoke_us + read_us;
    }
    atomic_store_explicit(&run->facts->run, done + 1, memory_order_relaxed);
  }
  return done;
}

static bool outputs_repeat(const Signature *signature) {
  for (size_t i = 0; i < signature->output_count; i++) {
    if (memcmp(signature->outputs[i].host, signature->outputs[i].first, signature->outputs[i].bytes) != 0) return false;
  }
  return true;
}

static _Noreturn void child_main(Run *run) {
  const Options *options = run->options;
  load_runtime(run);
  create_environment(run);
  if (!options->describe) check_accelerator(run);
  load_model(run);
  if (options->describe) finish(run, NULL);
  select_signature(run);
  const void **data = map_inputs(run);
  compile(run);
  create_buffers(run);
  Handles handles = handles_of(run->signature);
  run_samples(run, &handles, data);
  upload(run, data);
  enter(run, STAGE_WARMUP);
  run->warmup_count = repeat(run, &handles, options->warmup, options->warmup_seconds, false);
  atomic_store(&run->facts->run, 0);
  enter(run, STAGE_RUN);
  run->run_count = repeat(run, &handles, options->runs, options->min_seconds, true);
  enter(run, STAGE_RESULT);
  if (run->run_count > 0) run->repeatable = outputs_repeat(run->signature);
  run->facts->rss_end = resident_bytes(getpid());
  run->facts->peak_rss = peak_resident_bytes();
  finish(run, NULL);
}

// ---------------------------------------------------------------------------------------------------------------------
// The parent: waits, enforces time and memory, and speaks for a child that cannot.

static volatile sig_atomic_t stop_signal;
static int wake_pipe[2];

static void on_signal(int number) {
  int saved = errno;
  if (number != SIGCHLD) stop_signal = number;
  ssize_t ignored = write(wake_pipe[1], "", 1);
  (void)ignored;
  errno = saved;
}

#ifdef __APPLE__
static void *watch_parent(void *parent) {  // macOS has no PR_SET_PDEATHSIG
  while (getppid() == (pid_t)(intptr_t)parent) sleep(1);
  _exit(1);
}
#endif

// What fork() leaves to do: die with the parent, leave signals to it, keep no core, speak to the log.
static void become_child(pid_t parent, int log) {
  signal(SIGCHLD, SIG_DFL);
  // A signal to the whole process group is for the parent to act on; it ends the child by SIGKILL.
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
#ifdef __APPLE__
  pthread_t watcher;
  pthread_create(&watcher, NULL, watch_parent, (void *)(intptr_t)parent);
#endif
  if (getppid() != parent) _exit(1);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close(log);
}

// A line for whoever watches; dropped when nobody reads, so that a full pipe cannot stop the watch over the child.
static void say(const char *format, ...) {
  struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
  if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return;
  char line[128];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  write_all(STDOUT_FILENO, line, (size_t)size);
}

typedef struct {
  int stage;
  long run;
  double at_us;
} Progress;

static void report_progress(const Run *run, Progress *said) {
  double now = now_us();
  if (now - said->at_us < PROGRESS_MS * 1e3) return;
  int stage = run->facts->stage;
  long count = run->facts->run;
  if (stage != said->stage) {
    say("stage %s\n", kStages[stage]);
  } else if (stage == STAGE_RUN && count != said->run) {
    say("run %ld %ld\n", count, run->options->runs);
  } else {
    return;
  }
  *said = (Progress){stage, count, now};
}

// Whether the child has to be ended now, and why.
static Error overstep(const Run *run, pid_t child, double started_us) {
  const Options *options = run->options;
  Error error = {.kind = KIND_NONE, .status = STATUS_NONE};
  int64_t resident = options->memory_limit > 0 ? resident_bytes(child) : -1;
  if (stop_signal) {
    error.kind = KIND_CANCELLED;
    snprintf(error.message, sizeof error.message, "cancelled by signal %d", (int)stop_signal);
  } else if (now_us() - started_us > options->timeout * 1e6) {
    error.kind = KIND_TIMEOUT;
    snprintf(error.message, sizeof error.message, "not finished after %g seconds", options->timeout);
  } else if (resident >= 0 && (uint64_t)resident > options->memory_limit) {
    error.kind = KIND_MEMORY;
    snprintf(error.message, sizeof error.message, "resident memory reached %lld bytes; the limit is %llu bytes",
             (long long)resident, (unsigned long long)options->memory_limit);
  }
  return error;
}

// What a dead child means when it was not ended by us. KIND_NONE: it wrote its record itself.
static Error verdict(const Run *run, int status) {
  Error error = {.kind = KIND_CRASH, .status = STATUS_NONE};
  char *result = path_in(run->options->out, "result.json");
  if (WIFSIGNALED(status)) {
    error.signal = WTERMSIG(status);
    snprintf(error.message, sizeof error.message, "killed by signal %d (%s)%s", error.signal, signal_name(error.signal),
             error.signal == SIGKILL ? ", not by this program; the system may have run out of memory" : "");
  } else if (access(result, F_OK) != 0) {
    snprintf(error.message, sizeof error.message, "the process ended with exit code %d before it had a result",
             WEXITSTATUS(status));
  } else {
    error.kind = KIND_NONE;
  }
  free(result);
  return error;
}

static int supervise(Run *run, pid_t child) {
  Error reason = {.kind = KIND_NONE, .status = STATUS_NONE};
  Progress said = {-1, 0, 0};
  double started_us = now_us(), killed_us = 0;
  int status = 0;
  struct rusage usage;
  bool reaped = false;
  while (!reaped) {
    struct pollfd wake = {wake_pipe[0], POLLIN, 0};
    poll(&wake, 1, run->options->memory_limit > 0 || reason.kind != KIND_NONE ? TICK_MS : PROGRESS_MS);
    char drain[64];
    while (read(wake_pipe[0], drain, sizeof drain) > 0) continue;
    reaped = wait4(child, &status, WNOHANG, &usage) == child;
    if (reaped) break;
    if (reason.kind == KIND_NONE) {
      report_progress(run, &said);
      reason = overstep(run, child, started_us);
      if (reason.kind != KIND_NONE) {
        kill(child, SIGKILL);
        killed_us = now_us();
      }
    } else if (now_us() - killed_us > REAP_MS * 1e3) {
      break;  // held in the kernel by a driver; the record matters more than the zombie
    }
  }
  if (stop_signal && reason.kind == KIND_NONE) reason = overstep(run, child, started_us);
  bool finished = reaped && WIFEXITED(status) && reason.kind != KIND_CANCELLED;
  if (reason.kind == KIND_NONE || finished) reason = verdict(run, status);
  if (reason.kind == KIND_NONE) return WEXITSTATUS(status);
#ifdef __APPLE__
  if (reaped && run->facts->peak_rss < 0) run->facts->peak_rss = (int64_t)usage.ru_maxrss;
#else
  if (reaped && run->facts->peak_rss < 0) run->facts->peak_rss = (int64_t)usage.ru_maxrss * 1024;
#endif
  if (!write_result(run, &reason)) {
    fprintf(stderr, "delegate_bench: result.json cannot be written in %s: %s\n", run->options->out, strerror(errno));
    return kKinds[KIND_OUTPUT].exit_code;
  }
  return kKinds[reason.kind].exit_code;
}

// ---------------------------------------------------------------------------------------------------------------------
// Command line

static const char kUsage[] =
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
    "  --backend B            auto | opencl | webgpu | opengl; GPU only\n"
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

static _Noreturn void bad_usage(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("delegate_bench: ", stderr);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\n%s", kUsage);
  exit(kKinds[KIND_USAGE].exit_code);
}

static double number_of(const char *flag, const char *text, double low, double high, bool whole) {
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  // strtod alone would take "0x10", "nan" and "inf".
  bool plain = text[0] != 0 && strspn(text, "0123456789.eE+-") == strlen(text) && *end == 0 && errno == 0;
  if (!plain || value < low || value > high || (whole && value != floor(value))) {
    bad_usage("%s needs a%s number from %g to %g, not '%s'", flag, whole ? " whole" : "", low, high, text);
  }
  return value;
}

static int choice_of(const char *flag, const char *text, const char *const *choices) {
  for (int i = 0; choices[i] != NULL; i++) {
    if (strcmp(choices[i], text) == 0) return i;
  }
  bad_usage("%s does not know '%s'", flag, text);
}

static void parse_value(Options *options, const char *flag, const char *text) {
  const struct { const char *flag; const char **target; } kTexts[] = {
      {"--lib", &options->lib}, {"--accel-dir", &options->accel_dir}, {"--model", &options->model},
      {"--out", &options->out}, {"--run-id", &options->run_id}, {"--signature", &options->signature}};
  const struct { const char *flag; int *target; const char *const *choices; } kChoices[] = {
      {"--accelerator", &options->accelerator, kAccelerators}, {"--precision", &options->precision, kPrecisions},
      {"--backend", &options->backend, kBackends}, {"--kernels", &options->kernels, kKernels}};
  const struct { const char *flag; double *target; double low; } kSeconds[] = {
      {"--warmup-seconds", &options->warmup_seconds, 0}, {"--min-seconds", &options->min_seconds, 0},
      {"--max-seconds", &options->max_seconds, 0}, {"--timeout", &options->timeout, 0.001}};
  for (size_t i = 0; i < sizeof kTexts / sizeof kTexts[0]; i++) {
    if (strcmp(flag, kTexts[i].flag) != 0) continue;
    if (text[0] == 0) bad_usage("%s is empty", flag);
    *kTexts[i].target = text;
    return;
  }
  for (size_t i = 0; i < sizeof kChoices / sizeof kChoices[0]; i++) {
    if (strcmp(flag, kChoices[i].flag) != 0) continue;
    *kChoices[i].target = choice_of(flag, text, kChoices[i].choices);
    return;
  }
  for (size_t i = 0; i < sizeof kSeconds / sizeof kSeconds[0]; i++) {
    if (strcmp(flag, kSeconds[i].flag) != 0) continue;
    *kSeconds[i].target = number_of(flag, text, kSeconds[i].low, 1e7, false);
    return;
  }
  if (strcmp(flag, "--threads") == 0) options->threads = (int)number_of(flag, text, 1, 1024, true);
  else if (strcmp(flag, "--samples") == 0) options->samples = (int)number_of(flag, text, 1, 1e6, true);
  else if (strcmp(flag, "--warmup") == 0) options->warmup = (long)number_of(flag, text, 0, 1e7, true);
  else if (strcmp(flag, "--runs") == 0) options->runs = (long)number_of(flag, text, 0, 1e7, true);
  else if (strcmp(flag, "--memory-limit") == 0) options->memory_limit = (uint64_t)number_of(flag, text, 0, 1e15, true);
  else if (strcmp(flag, "--output-limit") == 0) options->output_limit = (uint64_t)number_of(flag, text, 0, 1e15, true);
  else bad_usage("unknown option '%s'", flag);
}

static Options parse_command_line(int count, char **words) {
  Options options = {.threads = 1, .samples = 1, .warmup = 1, .runs = 10, .max_seconds = 60, .timeout = 300,
                     .output_limit = 256u << 20};
  options.inputs = allocate((size_t)count, sizeof *options.inputs);
  for (int i = 1; i < count; i++) {
    const char *flag = words[i];
    if (strcmp(flag, "--help") == 0) {
      fputs(kUsage, stdout);
      exit(0);
    } else if (strcmp(flag, "--version") == 0) {
      puts("delegate_bench " TOOL_VERSION);
      exit(0);
    } else if (strcmp(flag, "--describe") == 0) {
      options.describe = true;
    } else if (strcmp(flag, "--input") == 0) {
      if (i + 1 >= count || strncmp(words[i + 1], "--", 2) == 0) bad_usage("--input needs a file");
      while (i + 1 < count && strncmp(words[i + 1], "--", 2) != 0) options.inputs[options.input_count++] = words[++i];
    } else if (strncmp(flag, "--", 2) != 0) {
      bad_usage("unexpected '%s'", flag);
    } else if (i + 1 >= count) {
      bad_usage("%s needs a value, or is unknown", flag);
    } else {
      parse_value(&options, flag, words[++i]);
    }
  }
  if (!options.lib || !options.model || !options.out || !options.run_id) {
    bad_usage("--lib, --model, --out and --run-id are needed");
  }
  if (options.accelerator == ACCELERATOR_CPU && (options.precision != 0 || options.backend != BACKEND_AUTO)) {
    bad_usage("--precision and --backend are for the GPU");
  }
  return options;
}

// The texts sent to the runtime. It ignores keys and GPU values that it does not know, so all were checked above.
static void make_option_texts(Run *run) {
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
    // wait_type 1: the call waits for the GPU, so that invoke_us alone means something too.
    snprintf(run->gpu_options, sizeof run->gpu_options, "precision = %d\nbackend = %d\nwait_type = 1\n",
             options->precision, options->backend);
  }
}

// Opens stderr.log in the output folder (made if absent) after removing any old record from it.
static int prepare_output(const char *out) {
  char *log = path_in(out, "stderr.log"), *result = path_in(out, "result.json");
  int file = -1;
  if ((mkdir(out, 0755) == 0 || errno == EEXIST) && (unlink(result) == 0 || errno == ENOENT)) {
    file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  }
  if (file < 0) fprintf(stderr, "delegate_bench: cannot write in %s: %s\n", out, strerror(errno));
  free(log);
  free(result);
  return file;
}

int main(int count, char **words) {
  Options options = parse_command_line(count, words);
  int log = prepare_output(options.out);
  if (log < 0) return kKinds[KIND_OUTPUT].exit_code;
  Facts *facts = mmap(NULL, sizeof *facts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (facts == MAP_FAILED || pipe(wake_pipe) != 0) {
    perror("delegate_bench");
    return kKinds[KIND_RUN].exit_code;
  }
  *facts = (Facts){.model_bytes = -1, .runtime_bytes = -1, .model_ops = -1, .env_first = -1, .gpu_environment = -1,
                   .fully_accelerated = -1, .non_cpu_fully_accelerated = -1, .all_on_accelerator = -1, .dlopen_us = -1,
                   .environment_us = -1, .load_us = -1, .compile_us = -1, .buffers_us = -1, .rss_before_compile = -1,
                   .rss_end = -1, .peak_rss = -1, .signature_index = -1};
  Run run = {.options = &options, .facts = facts, .repeatable = -1};
  make_option_texts(&run);
  for (int i = 0; i < 2; i++) {
    fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
    fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, on_signal);
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGHUP, on_signal);
  pid_t parent = getpid(), child = fork();
  if (child < 0) {
    perror("delegate_bench: fork");
    return kKinds[KIND_RUN].exit_code;
  }
  if (child == 0) {
    become_child(parent, log);
    child_main(&run);
  }
  close(log);
  return supervise(&run, child);
}
