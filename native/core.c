// One run from its beginning to its end: what a child process does for delegate_bench, and an app in its own process.
// Every step ends well or in fail().

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Facts no_facts(void) {
  return (Facts){.model_bytes = -1,
                 .runtime_bytes = -1,
                 .model_ops = -1,
                 .env_first = -1,
                 .gpu_environment = -1,
                 .fully_accelerated = -1,
                 .non_cpu_fully_accelerated = -1,
                 .all_on_accelerator = -1,
                 .dlopen_us = -1,
                 .environment_us = -1,
                 .load_us = -1,
                 .compile_us = -1,
                 .buffers_us = -1,
                 .rss_before_compile = -1,
                 .rss_end = -1,
                 .peak_rss = -1,
                 .signature_index = -1};
}

// Opens stderr.log in the output folder (made if absent) after removing any old record from it. -1 with errno.
int prepare_output(const char *out) {
  const char *log = path_in(out, "stderr.log"), *result = path_in(out, "result.json");
  int file = -1;
  if ((mkdir(out, 0755) == 0 || errno == EEXIST) && (unlink(result) == 0 || errno == ENOENT)) {
    file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  }
  if (file < 0) fprintf(stderr, "delegate_bench: cannot write in %s: %s\n", out, strerror(errno));
  return file;
}

_Noreturn void fail(const Run *run, Kind kind, int status, const char *format, ...) {
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
  run->failure->error = error;
  longjmp(run->failure->escape, 1);  // over nothing but this program's own C: LiteRT never calls back into it
}

void check(const Run *run, int status, Kind kind, const char *what) {
  if (status != STATUS_OK) fail(run, kind, status, "%s failed", what);
}

void enter(Run *run, Stage stage) {
  atomic_store(&run->facts->stage, (int)stage);
  if (run->entered != NULL) run->entered(stage);
}

static void take_steps(Run *run) {
  load_runtime(run);
  create_environment(run);
  if (!run->options->describe) check_choices(run);
  load_model(run);
  if (run->options->describe) return;
  select_signature(run);
  const void **data = map_inputs(run);
  compile(run);
  create_buffers(run);
  measure(run, data);
  enter(run, STAGE_RESULT);
  run->facts->rss_end = resident_bytes(getpid());
  run->facts->peak_rss = peak_resident_bytes();
}

// All of a run but its record. False: it failed, and `error` says how.
bool perform(Run *run, Error *error) {
  Failure failure;
  run->failure = &failure;
  if (setjmp(failure.escape) != 0) {
    run->failure = NULL;
    *error = failure.error;
    return false;
  }
  take_steps(run);
  run->failure = NULL;
  return true;
}

// Gives back what LiteRT holds for a run and all memory, for a process that has more to do. The library stays open: the
// next run needs it, and what drivers leave running in the process must not be unloaded.
void release(Run *run) {
  const Signature *signature = run->signature;
  for (size_t i = 0; signature != NULL && i < signature->input_count + signature->output_count; i++) {
    bool output = i >= signature->input_count;
    void *buffer = (output ? &signature->outputs[i - signature->input_count] : &signature->inputs[i])->buffer;
    if (buffer != NULL) api.DestroyTensorBuffer(buffer);
  }
  if (run->compiled != NULL) api.DestroyCompiledModel(run->compiled);
  if (run->model != NULL) api.DestroyModel(run->model);
  if (run->environment != NULL) api.DestroyEnvironment(run->environment);
  free_all();
}
