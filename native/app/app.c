// The app's work: jobs from job.json, one after the other or a single one; see README.md in this folder.

#include "parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char kJob[] = "job.json", kRunning[] = "running", kDone[] = "done";
enum { LOOK_MS = 200 };  // how often a waiting app looks for a job

static void tell(const AppShell *shell, const char *format, ...) {
  char words[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  if (shell->tell != NULL) shell->tell(shell->context, words);
}

static bool make_folder(const char *path) { return mkdir(path, 0755) == 0 || errno == EEXIST; }

// Removes what an earlier job of the same id left: a record that is there is this job's.
static bool begin_folder(const Report *report) {
  static const char *const kNames[] = {"app.json", "result.json"};
  for (size_t i = 0; i < 2; i++) {
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/%s", report->folder, kNames[i]);
    if (make_folder("out") && make_folder(report->folder) && (unlink(path) == 0 || errno == ENOENT)) continue;
    return false;
  }
  return true;
}

// The report, then the marker. False: there is nothing that could be told, as nothing can be written.
static bool finish(const Report *report, const AppError *error) {
  if (!write_report(report, error, true) || !write_marker(kDone, report->id)) {
    tell(report->shell, "cannot write in Documents: %s", strerror(errno));
    return false;
  }
  unlink(kRunning);
  return true;
}

// A job that the last process left in the middle: the system ended it, and there was nobody to say so.
static void mend(const AppShell *shell) {
  char id[ID_SIZE + 1], done[ID_SIZE + 1], path[PATH_SIZE + 16];
  if (!read_marker(kRunning, id)) {
    unlink(kRunning);
    return;
  }
  Report report;
  begin_report(&report, shell, id, 0);
  snprintf(path, sizeof path, "%s/app.json", report.folder);
  bool reported = access(path, F_OK) == 0;
  if (!reported && make_folder("out") && make_folder(report.folder)) {
    AppError error = {.kind = kKinds[KIND_CRASH].name};
    copy_text(error.message, sizeof error.message, "the app ended during this job, and nothing says why");
    write_report(&report, &error, false);
  }
  if (!read_marker(kDone, done) || strcmp(done, id) != 0) write_marker(kDone, id);
  unlink(kRunning);
  free_all();
}

// Sets the job's variables, or, called again, puts back what was there: `saved` holds it meanwhile.
static void swap_variables(const Request *request, char **saved, bool back) {
  for (int i = 0; i < request->variable_count; i++) {
    const char *name = request->variables[i].name, *value = back ? saved[i] : request->variables[i].value;
    if (!back) {
      const char *old = getenv(name);
      saved[i] = old == NULL ? NULL : strdup(old);
    }
    if (value == NULL) {
      unsetenv(name);
    } else {
      setenv(name, value, 1);
    }
    if (back) free(saved[i]);
  }
}

static bool files_are_there(const Request *request, AppError *error) {
  for (int i = 0; i < request->file_count; i++) {
    if (file_fault(&request->files[i], error->message, sizeof error->message) == NULL) continue;
    error->kind = "file";
    error->path = request->files[i].path;
    return false;
  }
  return true;
}

// The job's words and the app's own as delegate_bench's options.
static bool make_options(const AppShell *shell, const Report *report, const Request *request, Options *options,
                         AppError *error) {
  const char *const own[] = {"--lib", shell->library, "--accel-dir", shell->accelerators,
                             "--out", report->folder, "--run-id",    report->id};
  // In front: `--input` takes all words up to the next option.
  int count = request->word_count + (int)(sizeof own / sizeof own[0]);
  char **words = allocate((size_t)count, sizeof *words);
  memcpy(words, own, sizeof own);
  memcpy(words + sizeof own / sizeof own[0], request->words, (size_t)request->word_count * sizeof *words);
  error->kind = kKinds[KIND_USAGE].name;
  return parse_words(count, words, options, error->message, sizeof error->message) == WORDS_GOOD;
}

// Does a job and reports it. Returns the exit code for a process that does only this.
static int do_job(const AppShell *shell, const Request *request, int jobs_before) {
  Report report;
  AppError error = {.kind = NULL};
  Options options;
  Run run = {.options = &options, .repeatable = -1};
  bool good = true;
  tell(shell, "job %s", request->id);
  begin_report(&report, shell, request->id, jobs_before);
  if (!begin_folder(&report) || !write_marker(kRunning, request->id)) {
    tell(shell, "cannot write in Documents: %s", strerror(errno));
    return APP_CANNOT_WRITE;
  }
  int code = APP_BAD_JOB;
  if (!files_are_there(request, &error)) {
    good = false;
  } else if (request->word_count == 0) {
    code = 0;
  } else if (!make_options(shell, &report, request, &options, &error)) {
    good = false;
    code = report.exit_code = kKinds[KIND_USAGE].exit_code;
  } else {
    char **saved = allocate((size_t)request->variable_count, sizeof *saved);
    swap_variables(request, saved, false);
    make_option_texts(&run);
    good = run_guarded(&report, &run, &error);
    swap_variables(request, saved, true);
    if (good && went_away(&report)) {
      good = false;
      error.kind = "interrupted";
      copy_text(error.message, sizeof error.message,
                "the app was not in front all the time, or the phone was locked: such an app is suspended, and has no GPU");
    }
    code = report.exit_code;
  }
  if (!finish(&report, good ? NULL : &error)) code = APP_CANNOT_WRITE;
  tell(shell, "job %s is done: %d", request->id, code);
  release(&run);  // last: what crashes in here does not undo the job
  return code;
}

// A job.json that is no job, told where its sender looks, or else beside it. Returns the exit code.
static int refuse(const AppShell *shell, const char *id, const char *problem) {
  Report report;
  AppError error = {.kind = "job"};
  copy_text(error.message, sizeof error.message, problem);
  tell(shell, "%s", problem);
  begin_report(&report, shell, id, 0);
  bool told = id[0] == 0 ? write_report_at("app.json", &report, &error, true)
                         : begin_folder(&report) && finish(&report, &error);
  free_all();
  return told ? APP_BAD_JOB : APP_CANNOT_WRITE;
}

static int do_once(const AppShell *shell, const char *id) {
  Request request;
  char problem[512];
  RequestState state = read_request(kJob, &request, problem, sizeof problem);
  if (state == REQUEST_BAD && request.id[0] == 0 && is_id(id)) return refuse(shell, id, problem);
  if (state == REQUEST_NONE || strcmp(request.id, id) != 0) {
    tell(shell, "%s is not there, or another job's than %s", kJob, id);
    return APP_OTHER_JOB;
  }
  return state == REQUEST_BAD ? refuse(shell, id, problem) : do_job(shell, &request, 0);
}

static void wait_ms(int milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

static _Noreturn void do_all(const AppShell *shell) {
  // By content: a file that was renamed to job.json a moment later can have the inode, size and time of the last one.
  char seen[HASH_SIZE + 1] = "", now[HASH_SIZE + 1];
  char last[ID_SIZE + 1] = "", done[ID_SIZE + 1];
  uint64_t size;
  bool waiting = false;
  for (int jobs = 0;; wait_ms(LOOK_MS)) {
    if (!sha256_file(kJob, now, &size) || strcmp(now, seen) == 0) {
      if (!waiting) tell(shell, "waits for a job");
      waiting = true;
      continue;
    }
    if (is_away(shell)) {  // what was still done before it is suspended would be worth nothing
      free_all();
      continue;
    }
    copy_text(seen, sizeof seen, now);
    Request request;
    char problem[512];
    RequestState state = read_request(kJob, &request, problem, sizeof problem);
    // `done` may be gone before job.json is: what this process did, it does not do again.
    bool new = strcmp(request.id, last) != 0 && !(read_marker(kDone, done) && strcmp(request.id, done) == 0);
    if (state == REQUEST_BAD && (new || request.id[0] == 0)) refuse(shell, request.id, problem);
    if (state == REQUEST_GOOD && new) {
      do_job(shell, &request, jobs);
      jobs += request.word_count > 0;  // a job without arguments loads nothing
    }
    copy_text(last, sizeof last, request.id);
    waiting = false;
    free_all();
  }
}

int app_run(const AppShell *shell, int count, char **words) {
  if (chdir(shell->documents) != 0) {
    tell(shell, "%s cannot be entered: %s", shell->documents, strerror(errno));
    return APP_CANNOT_WRITE;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);  // what was said before a crash has to be in the log
  install_guard();
  mend(shell);
  for (int i = 0; i + 1 < count; i++) {
    if (strcmp(words[i], "--once") == 0) return do_once(shell, words[i + 1]);
  }
  do_all(shell);
}
