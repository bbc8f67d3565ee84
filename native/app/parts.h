// What the parts of the app share with each other, and not with its shell.

#ifndef DELEGATE_BENCH_APP_PARTS_H_
#define DELEGATE_BENCH_APP_PARTS_H_

#include "../bench.h"
#include "app.h"

enum { JOB_SCHEMA = 1, APP_SCHEMA = 1, ID_SIZE = 16, HASH_SIZE = 64, MESSAGE_SIZE = 1200, PATH_SIZE = 64 };

// read_json.c
typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonType;

typedef struct Value {
  JsonType type;
  const char *key;   // in an object
  const char *text;  // of a string: no NUL inside
  double number;
  size_t count;  // elements of an array, members of an object
  struct Value *first, *next;
} Value;

const Value *read_json(const char *text, size_t size, char *problem, size_t problem_size);
const Value *member(const Value *object, const char *key);

// sha256.c
bool sha256_file(const char *path, char hex[HASH_SIZE + 1], uint64_t *size);

// request.c: job.json
typedef struct {
  const char *path, *sha256;
  uint64_t bytes;
} JobFile;

typedef struct {
  const char *name, *value;
} JobVariable;

typedef struct {
  char id[ID_SIZE + 1];  // empty: job.json has none that can be used
  char **words;          // delegate_bench's options
  JobFile *files;
  JobVariable *variables;
  int word_count, file_count, variable_count;
} Request;

typedef enum { REQUEST_NONE, REQUEST_BAD, REQUEST_GOOD } RequestState;

RequestState read_request(const char *path, Request *request, char *problem, size_t size);
bool is_id(const char *text);
const char *file_fault(const JobFile *file, char *message, size_t size);  // NULL: it is there, whole and right

// report.c: app.json and the markers
typedef struct {
  const char *kind;
  char message[MESSAGE_SIZE];
  const char *stage, *path;
  int signal;  // 0: none
} AppError;

typedef struct {
  const AppShell *shell;
  char id[ID_SIZE + 1];
  char folder[sizeof "out/" + ID_SIZE];
  int jobs_before;         // runs that this process did
  AppState before;
  ThermalState hottest;  // seen since
  int64_t footprint_before;
  int exit_code;  // -1: delegate_bench's core did not run
} Report;

void begin_report(Report *report, const AppShell *shell, const char *id, int jobs_before);
void look_at_heat(Report *report);
bool is_away(const AppShell *shell);
bool went_away(const Report *report);
bool write_report(const Report *report, const AppError *error, bool with_after);
bool write_report_at(const char *path, const Report *report, const AppError *error, bool with_after);
char *report_without_error(const Report *report, size_t *size);
bool write_marker(const char *name, const char *id);
bool read_marker(const char *name, char id[ID_SIZE + 1]);

// guard.c
void install_guard(void);
bool run_guarded(Report *report, Run *run, AppError *error);

#endif  // DELEGATE_BENCH_APP_PARTS_H_
