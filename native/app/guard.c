// The watch over a run in the app's own process, where no parent can keep it: a thread enforces time and memory and
// speaks for a core that cannot. A crash wakes that thread; where even it can do nothing any more (the crash left the
// heap locked, say), the signal handler writes records that were prepared beforehand.

#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  TICK_MS = 20,            // how often memory is looked at
  HEAT_TICKS = 25,         // how often the phone's temperature is
  GRACE_MS = 3000,         // how long the thread may take to write down a crash
  STACK_BYTES = 64 << 10,  // for the signal handler, as the thread's own may be what overflowed
};

// Who has the last word about the run. Only the one who leaves RUNNING may write records.
enum { IDLE, RUNNING, CRASHED, ENDING };

typedef struct {
  char result[PATH_SIZE], result_tmp[PATH_SIZE], app[PATH_SIZE], app_tmp[PATH_SIZE];
  char result_start[512];
  char *app_start;
  size_t app_size;
} Prepared;

static const int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
static atomic_int phase;
static atomic_int crash_signal;  // 0: the process is ending by exit()
static int wake_pipe[2];
static pthread_t watcher;
static Facts facts;
static Run initial;  // as the run was at its start: what comes later belongs to the core's thread
static Report *report;
static Prepared prepared;
static double started_us;
static atomic_llong highest_footprint;

static void pass_on(Stage stage) { report->shell->entered(report->shell->context, kStages[stage]); }

static void put_text(int file, const char *text) { (void)!write(file, text, strlen(text)); }

static void put_number(int file, int number) {
  char text[12], *at = text + sizeof text - 1;
  *at = 0;
  do *--at = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  put_text(file, at);
}

// Only calls that a signal handler may make, from here to on_crash().
static void put_crash(const char *temporary, const char *path, const char *start, size_t size, int number, bool named) {
  int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  (void)!write(file, start, size);
  put_text(file, "\"message\":\"killed by a signal; the process was too damaged to say more\",\"signal\":");
  put_number(file, number);
  put_text(file, ",\"stage\":\"");
  put_text(file, kStages[facts.stage]);
  if (named) {
    put_text(file, "\",\"signal_name\":\"");
    put_text(file, signal_name(number));
  }
  put_text(file, "\"}}\n");
  fsync(file);
  close(file);
  rename(temporary, path);
}

static void write_prepared(int number) {
  put_crash(prepared.result_tmp, prepared.result, prepared.result_start, strlen(prepared.result_start), number, true);
  if (prepared.app_start != NULL) {
    put_crash(prepared.app_tmp, prepared.app, prepared.app_start, prepared.app_size, number, false);
  }
  int file = open("done.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  put_text(file, report->id);
  fsync(file);
  close(file);
  rename("done.tmp", "done");
  unlink("running");
}

static void on_crash(int number) {
  int expected = RUNNING;
  if (atomic_compare_exchange_strong(&phase, &expected, CRASHED)) {
    atomic_store(&crash_signal, number);
    (void)!write(wake_pipe[1], "", 1);
    if (!pthread_equal(pthread_self(), watcher)) poll(NULL, 0, GRACE_MS);  // it ends the process meanwhile
  } else if (expected == IDLE) {
    signal(number, SIG_DFL);
    raise(number);
    return;
  } else if (!pthread_equal(pthread_self(), watcher)) {
    for (;;) pause();  // another thread ends the process
  }
  write_prepared(number);
  _exit(kKinds[KIND_CRASH].exit_code);
}

static int64_t look_at_memory(void) {
  int64_t footprint = footprint_bytes();
  if (footprint > atomic_load(&highest_footprint)) atomic_store(&highest_footprint, footprint);
  return footprint;
}

// Writes down a run that did not end by itself, and ends the process.
static _Noreturn void end_process(const Error *error) {
  AppError told = {.kind = kKinds[error->kind].name, .stage = kStages[facts.stage], .signal = error->signal};
  copy_text(told.message, sizeof told.message, error->message);
  look_at_memory();
  if (facts.peak_rss < 0) facts.peak_rss = atomic_load(&highest_footprint);
  write_result(&initial, error);
  report->exit_code = kKinds[error->kind].exit_code;
  write_report(report, &told, error->kind != KIND_CRASH);  // a crashed shell must not be asked for anything
  write_marker("done", report->id);
  unlink("running");
  _exit(report->exit_code);
}

static Error crash(void) {
  Error error = {.kind = KIND_CRASH, .status = STATUS_NONE, .signal = atomic_load(&crash_signal)};
  if (error.signal > 0) {
    snprintf(error.message, sizeof error.message, "killed by signal %d (%s)", error.signal, signal_name(error.signal));
  } else {
    snprintf(error.message, sizeof error.message, "the runtime ended the app before there was a result");
  }
  return error;
}

// The runtime has called exit(). The thread that did stays here.
static void on_exit_called(void) {
  int expected = RUNNING;
  if (atomic_compare_exchange_strong(&phase, &expected, ENDING)) {
    Error error = crash();
    end_process(&error);
  }
  if (expected != IDLE && !pthread_equal(pthread_self(), watcher)) {
    for (;;) pause();
  }
}

static Error overstep(void) {
  const Options *options = initial.options;
  Error error = {.kind = KIND_NONE, .status = STATUS_NONE};
  int64_t footprint = look_at_memory();
  if (options->memory_limit > 0 && footprint > 0 && (uint64_t)footprint > options->memory_limit) {
    error.kind = KIND_MEMORY;
    snprintf(error.message, sizeof error.message, "the app takes %lld bytes of memory; the limit is %llu",
             (long long)footprint, (unsigned long long)options->memory_limit);
  } else if (now_us() - started_us > options->timeout * 1e6) {
    error.kind = KIND_TIMEOUT;
    snprintf(error.message, sizeof error.message, "not finished after %g seconds", options->timeout);
  }
  return error;
}

static void tell_stage(int *told) {
  const AppShell *shell = report->shell;
  char words[128];
  if (facts.stage == *told || shell->tell == NULL) return;
  *told = facts.stage;
  snprintf(words, sizeof words, "job %s: %s", report->id, kStages[*told]);
  shell->tell(shell->context, words);
}

static void *watch(void *unused) {
  int told = -1;
  for (long ticks = 1;; ticks++) {
    struct pollfd wake = {wake_pipe[0], POLLIN, 0};
    poll(&wake, 1, TICK_MS);
    int now = atomic_load(&phase);
    if (now == IDLE) return unused;
    if (now == CRASHED) {
      while (atomic_load(&crash_signal) == 0) poll(NULL, 0, 1);
      Error error = crash();
      end_process(&error);
    }
    if (now != RUNNING) continue;
    Error error = overstep();
    int expected = RUNNING;
    if (error.kind != KIND_NONE && atomic_compare_exchange_strong(&phase, &expected, ENDING)) end_process(&error);
    tell_stage(&told);
    if (ticks % HEAT_TICKS == 0) look_at_heat(report);
  }
}

// Once per process, on the thread that runs the jobs.
void install_guard(void) {
  static char stack[STACK_BYTES];
  stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&other, NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK;
  for (size_t i = 0; i < sizeof kSignals / sizeof kSignals[0]; i++) sigaction(kSignals[i], &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  atexit(on_exit_called);
}

static void prepare(void) {
  Prepared *p = &prepared;
  snprintf(p->result, sizeof p->result, "%s/result.json", report->folder);
  snprintf(p->result_tmp, sizeof p->result_tmp, "%s/crash.tmp", report->folder);
  snprintf(p->app, sizeof p->app, "%s/app.json", report->folder);
  snprintf(p->app_tmp, sizeof p->app_tmp, "%s/crash-app.tmp", report->folder);
  snprintf(p->result_start, sizeof p->result_start,
           "{\"schema\":1,\"tool\":\"delegate_bench\",\"tool_version\":\"%s\",\"run_id\":\"%s\",\"status\":\"error\","
           "\"error\":{\"kind\":\"crash\",\"exit_code\":%d,\"litert_status\":null,\"litert_status_name\":null,",
           TOOL_VERSION, report->id, kKinds[KIND_CRASH].exit_code);
  char *start = report_without_error(report, &p->app_size);
  char *whole = start == NULL ? NULL : realloc(start, p->app_size + 64);
  static const char kError[] = ",\n\"error\":{\"kind\":\"crash\",\"path\":null,";
  if (whole != NULL) {
    memcpy(whole + p->app_size, kError, sizeof kError);
    p->app_size += sizeof kError - 1;
  }
  p->app_start = whole;
}

// What the runtime prints belongs into the run's log. Returns what was there before.
static void swap_output(int log, int saved[2]) {
  fflush(NULL);
  saved[0] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  saved[1] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close(log);
}

static void restore_output(const int saved[2]) {
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    if (saved[i] < 0) continue;
    dup2(saved[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
    close(saved[i]);
  }
}

static void close_watch(void) {
  close(wake_pipe[0]);
  close(wake_pipe[1]);
  free(prepared.app_start);
}

static bool start_watch(const Run *run) {
  initial = *run;
  started_us = now_us();
  atomic_store(&highest_footprint, -1);
  atomic_store(&crash_signal, 0);
  if (pipe(wake_pipe) != 0) return false;
  atomic_store(&phase, RUNNING);
  if (pthread_create(&watcher, NULL, watch, NULL) == 0) return true;
  atomic_store(&phase, IDLE);
  close_watch();
  return false;
}

// After it nobody but the caller writes about the run.
static void stop_watch(void) {
  int expected = RUNNING;
  if (!atomic_compare_exchange_strong(&phase, &expected, IDLE)) {
    for (;;) pause();  // the process is being ended
  }
  (void)!write(wake_pipe[1], "", 1);
  pthread_join(watcher, NULL);
  close_watch();
}

static bool cannot(AppError *error, const char *what) {
  *error = (AppError){.kind = kKinds[KIND_OUTPUT].name};
  snprintf(error->message, sizeof error->message, "%s: %s", what, strerror(errno));
  report->exit_code = kKinds[KIND_OUTPUT].exit_code;
  return false;
}

// Performs a run and writes its record; the report's exit code is the run's. False: there is no record, and `error`
// says why. Does not return from a run that crashes or oversteps its limits.
bool run_guarded(Report *of, Run *run, AppError *error) {
  report = of;
  int log = prepare_output(run->options->out);
  if (log < 0) return cannot(error, "the job's folder cannot be written");
  facts = no_facts();
  run->facts = &facts;
  run->entered = of->shell->entered == NULL ? NULL : pass_on;
  prepare();
  int saved[2];
  swap_output(log, saved);
  if (!start_watch(run)) {
    restore_output(saved);
    return cannot(error, "the run cannot be watched");
  }
  Error failure;
  bool good = perform(run, &failure);
  stop_watch();
  restore_output(saved);
  // The system keeps one peak per process; that of a later run is what the watch saw.
  int64_t seen = atomic_load(&highest_footprint);
  if (of->jobs_before > 0 || facts.peak_rss < 0) facts.peak_rss = seen > facts.rss_end ? seen : facts.rss_end;
  if (!write_result(run, good ? NULL : &failure)) return cannot(error, "result.json cannot be written");
  of->exit_code = good ? 0 : kKinds[failure.kind].exit_code;
  return true;
}
