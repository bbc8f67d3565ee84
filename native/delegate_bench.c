// delegate_bench: runs one TFLite model on one LiteRT accelerator and says exactly what happened.
//
// Needs libc and dlopen only; libLiteRt.so (or .dylib) is opened at run time, so one binary serves many LiteRT
// versions. The parent process forks a child that does all the work. The parent only waits, enforces time and memory,
// and writes the record when the child cannot: whatever the runtime or the driver does, result.json exists and is
// true. README.md in this folder documents the command line, result.json and the exit codes.

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
  if (facts == MAP_FAILED) {
    perror("delegate_bench");
    return kKinds[KIND_RUN].exit_code;
  }
  *facts = (Facts){.model_bytes = -1,
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
  Run run = {.options = &options, .facts = facts, .repeatable = -1};
  make_option_texts(&run);
  return supervise(&run, log);
}
