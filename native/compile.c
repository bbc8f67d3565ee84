// Compiling the model for the accelerator, and finding out what really went there.

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
  if (options->accelerator == ACCELERATOR_CPU) return;
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
    fail(run, KIND_NOT_FULLY, STATUS_NONE,
         "the GPU alone was asked for, but not every operation is proven to be on it");
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
  int status = api.CreateCompiledModel(run->environment, run->model, compilation, compiled);
  api.DestroyOptions(compilation);  // it has taken what it needs
  return status;
}

void compile(Run *run) {
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
      run->compiled = for_cpu;
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
