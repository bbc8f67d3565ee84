// The part of LiteRT's C API that is used, for releases 2.1.3 to 2.3.0.
//
// Declared by hand: LiteRT's headers differ between releases and would tie the binary to one of them. Every handle is a
// pointer, every status an int. What differs between releases is probed in load_runtime().

#ifndef DELEGATE_BENCH_LITERT_H_
#define DELEGATE_BENCH_LITERT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_RANK = 8 };

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
enum { STATUS_OK = 0, STATUS_NONE = -1 };  // NONE: a failure that is no LiteRT status

// F(result, name without its LiteRt prefix, arguments)
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
  F(int, RunCompiledModel, (void *, size_t, size_t, void **, size_t, void **))                     \
  F(void, DestroyTensorBuffer, (void *))                                                          \
  F(void, DestroyCompiledModel, (void *))                                                         \
  F(void, DestroyOptions, (void *))                                                               \
  F(void, DestroyModel, (void *))                                                                 \
  F(void, DestroyEnvironment, (void *))

// NULL before 2.3.0.
#define OPTIONAL_FUNCTIONS(F) F(int, CompiledModelIsNonCpuFullyAccelerated, (void *, bool *))

typedef int (*CreateModelEnvFirst)(void *, const void *, size_t, void **);  // CreateModelFromBuffer since 2.1.6
typedef int (*CreateModelModelFirst)(const void *, size_t, void **);        // and before

#define DECLARE_FUNCTION(result, name, arguments) result(*name) arguments;
struct LiteRtApi { REQUIRED_FUNCTIONS(DECLARE_FUNCTION) OPTIONAL_FUNCTIONS(DECLARE_FUNCTION) };
extern struct LiteRtApi api;  // filled by load_runtime()

#endif  // DELEGATE_BENCH_LITERT_H_
