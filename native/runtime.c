// The LiteRT runtime: its library, its environment, its accelerators.

#include "bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct LiteRtApi api;

void load_runtime(Run *run) {
  enter(run, STAGE_LOAD_RUNTIME);
  const Options *options = run->options;
  struct stat info;
  if (stat(options->lib, &info) == 0) run->facts->runtime_bytes = (int64_t)info.st_size;
#ifdef __linux__
  // Drivers that compile shaders with LLVM (Mesa's lavapipe) look up functions such as expf among the program's global
  // symbols, and call address 0 where libm is not there. A Python process has it; this program links libc alone.
  dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL);
#endif
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
  // Older runtimes ignore these choices without a word. 2.1.4 was not seen.
  run->can_choose_kernels = dlsym(library, "LiteRtEnvironmentSupportsFP16") != NULL;  // both are in 2.1.5, not in 2.1.3
  run->can_fp16acc32 = dlsym(library, "kLiteRtRuntimeBuiltin") != NULL;               // both came with 2.2.0
}

static void list_accelerators(Run *run) {
  Facts *facts = run->facts;
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

void create_environment(Run *run) {
  enter(run, STAGE_ENVIRONMENT);
  const Options *options = run->options;
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
  int status = api.CreateEnvironment(2, env_options, &run->environment);
  check(run, status, KIND_RUNTIME_LIBRARY, "creating LiteRT's environment");
  run->facts->environment_us = now_us() - start;
  list_accelerators(run);
}

// What the runtime would ignore in silence is refused. For a backend, its GPU library's own name has to be believed.
void check_choices(const Run *run) {
  const Options *options = run->options;
  if (options->kernels != KERNELS_XNNPACK && options->accelerator != ACCELERATOR_GPU && !run->can_choose_kernels) {
    fail(run, KIND_UNSUPPORTED, STATUS_NONE, "%s kernels need LiteRT 2.1.5 or newer", kKernels[options->kernels]);
  }
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
  bool metal = strstr(name, "Metal") != NULL;
  bool other = webgpu || metal || strstr(name, "Vulkan") != NULL;
  bool opencl_or_gl = options->backend == BACKEND_OPENCL || options->backend == BACKEND_OPENGL;
  if ((options->backend == BACKEND_WEBGPU && !webgpu) || (options->backend == BACKEND_METAL && !metal) ||
      (opencl_or_gl && other)) {
    fail(run, KIND_UNAVAILABLE, STATUS_NONE, "backend %s was asked for, but the GPU accelerator found is '%s'",
         kBackends[options->backend], name);
  }
  if (options->precision == PRECISION_FP16ACC32 && !run->can_fp16acc32) {
    fail(run, KIND_UNSUPPORTED, STATUS_NONE, "precision fp16acc32 needs LiteRT 2.2.0 or newer");
  }
}
