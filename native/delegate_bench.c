// delegate_bench: runs one TFLite model on one LiteRT accelerator and says exactly what happened.
//
// Needs libc and dlopen only; libLiteRt.so (or .dylib) is opened at run time, so one binary serves many LiteRT
// versions. The parent process forks a child that does all the work. The parent only waits, enforces time and memory,
// and writes the record when the child cannot: whatever the runtime or the driver does, result.json exists and is
// true. README.md in this folder documents the command line, result.json and the exit codes.

#include "bench.h"

#include <stdio.h>
#include <sys/mman.h>

static int say_usage(const char *message) {
  fprintf(stderr, "delegate_bench: %s\n%s", message, kUsage);
  return kKinds[KIND_USAGE].exit_code;
}

int main(int count, char **words) {
  Options options;
  char message[1024];
  switch (parse_words(count - 1, words + 1, &options, message, sizeof message)) {
    case WORDS_BAD: return say_usage(message);
    case WORDS_HELP: return fputs(kUsage, stdout) < 0;
    case WORDS_VERSION: return puts("delegate_bench " TOOL_VERSION) < 0;
    case WORDS_GOOD: break;
  }
  int log = prepare_output(options.out);
  if (log < 0) return kKinds[KIND_OUTPUT].exit_code;
  Facts *facts = mmap(NULL, sizeof *facts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (facts == MAP_FAILED) {
    perror("delegate_bench");
    return kKinds[KIND_RUN].exit_code;
  }
  *facts = no_facts();
  Run run = {.options = &options, .facts = facts, .repeatable = -1};
  make_option_texts(&run);
  return supervise(&run, log);
}
