// The parent process: waits, enforces time and memory, and speaks for a child that cannot.

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __APPLE__
#include <pthread.h>
#endif

enum {
  TICK_MS = 20,       // how often the child's memory is looked at
  PROGRESS_MS = 100,  // how often progress is said
  REAP_MS = 5000,     // how long a killed child may take to vanish: a driver can hold it in the kernel
};

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
  setvbuf(stdout, NULL, _IOLBF, 0);  // what was said before a crash has to be in the log
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

static Error cancelled(void) {
  Error error = {.kind = KIND_CANCELLED, .status = STATUS_NONE};
  snprintf(error.message, sizeof error.message, "cancelled by signal %d", (int)stop_signal);
  return error;
}

// Whether the child has to be ended now, and why.
static Error overstep(const Run *run, pid_t child, double started_us) {
  const Options *options = run->options;
  Error error = {.kind = KIND_NONE, .status = STATUS_NONE};
  if (stop_signal) return cancelled();
  int64_t resident = options->memory_limit > 0 ? resident_bytes(child) : -1;
  if (resident >= 0 && (uint64_t)resident > options->memory_limit) {
    error.kind = KIND_MEMORY;
    snprintf(error.message, sizeof error.message, "resident memory reached %lld bytes; the limit is %llu bytes",
             (long long)resident, (unsigned long long)options->memory_limit);
  } else if (now_us() - started_us > options->timeout * 1e6) {
    error.kind = KIND_TIMEOUT;
    snprintf(error.message, sizeof error.message, "not finished after %g seconds", options->timeout);
  }
  return error;
}

// What a dead child means when it was not ended by us. KIND_NONE: it wrote its record itself.
static Error verdict(const Run *run, int status) {
  Error error = {.kind = KIND_CRASH, .status = STATUS_NONE};
  const char *result = path_in(run->options->out, "result.json");
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
  return error;
}

// Waits for the child's end, reporting progress and ending it when it oversteps. False: it cannot be ended.
static bool watch(const Run *run, pid_t child, Error *reason, int *status, struct rusage *usage) {
  Progress said = {-1, 0, 0};
  double started_us = now_us(), killed_us = 0;
  for (;;) {
    struct pollfd wake = {wake_pipe[0], POLLIN, 0};  // written to when the child ends
    poll(&wake, 1, run->options->memory_limit > 0 ? TICK_MS : PROGRESS_MS);
    char drain[64];
    while (read(wake_pipe[0], drain, sizeof drain) > 0) continue;
    if (wait4(child, status, WNOHANG, usage) == child) return true;
    if (reason->kind == KIND_NONE) {
      report_progress(run, &said);
      *reason = overstep(run, child, started_us);
      if (reason->kind == KIND_NONE) continue;
      kill(child, SIGKILL);
      killed_us = now_us();
    } else if (now_us() - killed_us > REAP_MS * 1e3) {
      return false;
    }
  }
}

static void listen_for_signals(void) {
  for (int i = 0; i < 2; i++) {
    fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
    fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
  }
  signal(SIGPIPE, SIG_IGN);  // nobody has to read the progress
  signal(SIGCHLD, on_signal);
  signal(SIGTERM, on_signal);
  if (signal(SIGINT, on_signal) == SIG_IGN) signal(SIGINT, SIG_IGN);
  if (signal(SIGHUP, on_signal) == SIG_IGN) signal(SIGHUP, SIG_IGN);  // under nohup
}

static _Noreturn void work(Run *run) {
  Error error;
  bool good = perform(run, &error);
  bool written = write_result(run, good ? NULL : &error);
  // No teardown: a driver that crashes while it unloads must not undo a finished measurement.
  _exit(!written ? kKinds[KIND_OUTPUT].exit_code : good ? 0 : kKinds[error.kind].exit_code);
}

// Runs the child, which writes to `log`, and returns the exit code of the whole.
int supervise(Run *run, int log) {
  if (pipe(wake_pipe) != 0) {
    perror("delegate_bench: pipe");
    return kKinds[KIND_RUN].exit_code;
  }
  listen_for_signals();
  pid_t parent = getpid(), child = fork();
  if (child < 0) {
    perror("delegate_bench: fork");
    return kKinds[KIND_RUN].exit_code;
  }
  if (child == 0) {
    become_child(parent, log);
    work(run);
  }
  close(log);
  Error reason = {.kind = KIND_NONE, .status = STATUS_NONE};
  int status = 0;
  struct rusage usage;
  bool ended = watch(run, child, &reason, &status, &usage);
  if (stop_signal) reason = cancelled();
  // A child that finished just before it was to be ended has its say, unless it was cancelled.
  if (ended && reason.kind != KIND_CANCELLED && (reason.kind == KIND_NONE || WIFEXITED(status))) {
    reason = verdict(run, status);
  }
  if (reason.kind == KIND_NONE) return WEXITSTATUS(status);
  if (ended && run->facts->peak_rss < 0) run->facts->peak_rss = peak_of_usage(usage.ru_maxrss);
  if (!write_result(run, &reason)) {
    fprintf(stderr, "delegate_bench: result.json cannot be written in %s: %s\n", run->options->out, strerror(errno));
    return kKinds[KIND_OUTPUT].exit_code;
  }
  return kKinds[reason.kind].exit_code;
}
