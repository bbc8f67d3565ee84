// The child process: every step ends well or in fail().

#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void finish(const Run *run, const Error *error) {
  bool written = write_result(run, error);
  // No teardown: a driver that crashes while it unloads must not undo a finished measurement.
  _exit(!written ? kKinds[KIND_OUTPUT].exit_code : error == NULL ? 0 : kKinds[error->kind].exit_code);
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
  finish(run, &error);
}

void check(const Run *run, int status, Kind kind, const char *what) {
  if (status != STATUS_OK) fail(run, kind, status, "%s failed", what);
}

void enter(Run *run, Stage stage) { atomic_store(&run->facts->stage, (int)stage); }

_Noreturn void child_main(Run *run) {
  load_runtime(run);
  create_environment(run);
  if (!run->options->describe) check_choices(run);
  load_model(run);
  if (run->options->describe) finish(run, NULL);
  select_signature(run);
  const void **data = map_inputs(run);
  compile(run);
  create_buffers(run);
  measure(run, data);
  enter(run, STAGE_RESULT);
  run->facts->rss_end = resident_bytes(getpid());
  run->facts->peak_rss = peak_resident_bytes();
  finish(run, NULL);
}
