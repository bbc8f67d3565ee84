// app.json, and the markers `running` and `done`.

#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *const kThermalStates[] = {"nominal", "fair", "serious", "critical"};

static AppState state_of(const AppShell *shell) {
  AppState state = {THERMAL_UNKNOWN, -1, -1, -1, -1, -1};
  if (shell->state != NULL) shell->state(shell->context, &state);
  return state;
}

void begin_report(Report *report, const AppShell *shell, const char *id, int jobs_before) {
  *report = (Report){.shell = shell, .jobs_before = jobs_before, .exit_code = -1};
  copy_text(report->id, sizeof report->id, id);
  snprintf(report->folder, sizeof report->folder, "out/%s", id);
  report->before = state_of(shell);
  report->hottest = report->before.thermal_state;
  report->footprint_before = footprint_bytes();
}

static ThermalState hotter(ThermalState one, ThermalState other) { return one > other ? one : other; }

// To be called now and then during a run: the states before and after it do not tell of a peak between them.
void look_at_heat(Report *report) {
  report->hottest = hotter(report->hottest, state_of(report->shell).thermal_state);
}

bool is_away(const AppShell *shell) { return state_of(shell).away == 1; }

// Whether the app left the front since the report was begun, or was not there: nothing measured meanwhile is worth
// anything, as the system suspends such an app and gives it no GPU.
bool went_away(const Report *report) {
  AppState now = state_of(report->shell);
  return report->before.away == 1 || now.away == 1 || now.times_away != report->before.times_away;
}

static const char *name_of(ThermalState state) {
  return state >= THERMAL_NOMINAL && state <= THERMAL_CRITICAL ? kThermalStates[state] : NULL;
}

static void write_state(Json *json, const char *key, AppState state, int64_t footprint) {
  json_begin(json, key, '{');
  json_string(json, "thermal_state", name_of(state.thermal_state));
  json_flag(json, "low_power_mode", state.low_power_mode);
  json_known(json, "footprint_bytes", footprint);
  if (state.battery_level < 0) {
    json_null(json, "battery_level");
  } else {
    json_key(json, "battery_level");
    fprintf(json->file, "%.3f", state.battery_level);
  }
  json_flag(json, "charging", state.charging);
  json_end(json, '}');
}

// A file that is one and the same for the whole process.
typedef struct {
  char hash[HASH_SIZE + 1];
  uint64_t bytes;
} Fixed;

static void write_hash(Json *json, const char *path, Fixed *file) {
  if (!file->hash[0] && path != NULL) sha256_file(path, file->hash, &file->bytes);
  json_string(json, "sha256", file->hash[0] ? file->hash : NULL);
  json_known(json, "bytes", file->hash[0] ? (int64_t)file->bytes : -1);
}

static void write_app(Json *json, const AppShell *shell) {
  static Fixed program;
  json_begin(json, "app", '{');
  json_string(json, "bundle", shell->bundle);
  json_string(json, "version", shell->version);
  json_string(json, "build", shell->build);
  write_hash(json, shell->program, &program);
  json_end(json, '}');
}

static void write_runtime(Json *json, const AppShell *shell) {
  static Fixed library;
  json_begin(json, "runtime", '{');
  json_string(json, "version", shell->runtime_version);
  write_hash(json, shell->library, &library);
  json_end(json, '}');
}

static void write_system(Json *json, const AppShell *shell) {
  struct utsname system;
  bool known = uname(&system) >= 0;
  json_begin(json, "system", '{');
  json_string(json, "name", shell->system_name ? shell->system_name : known ? system.sysname : NULL);
  json_string(json, "version", shell->system_version ? shell->system_version : known ? system.release : NULL);
  json_string(json, "machine", shell->machine ? shell->machine : known ? system.machine : NULL);
  json_end(json, '}');
}

static void write_fields(Json *json, const Report *report, bool with_after) {
  const AppShell *shell = report->shell;
  json_begin(json, NULL, '{');
  json_integer(json, "schema", APP_SCHEMA);
  json_string(json, "id", report->id[0] ? report->id : NULL);
  write_app(json, shell);
  json_string(json, "core", TOOL_VERSION);
  write_runtime(json, shell);
  write_system(json, shell);
  json_string(json, "metal_device", shell->metal_device);
  json_flag(json, "emulated", shell->emulated);
  json_integer(json, "jobs_before", report->jobs_before);
  write_state(json, "before", report->before, report->footprint_before);
  ThermalState hottest = report->hottest;
  if (with_after) {
    AppState after = state_of(shell);
    hottest = hotter(hottest, after.thermal_state);
    write_state(json, "after", after, footprint_bytes());
  } else {
    json_null(json, "after");
  }
  json_string(json, "hottest", name_of(hottest));
  json_known(json, "exit_code", report->exit_code);
}

static void write_error(Json *json, const AppError *error) {
  if (error == NULL) {
    json_null(json, "error");
    return;
  }
  json_begin(json, "error", '{');
  json_string(json, "kind", error->kind);
  json_string(json, "message", error->message);
  json_known(json, "signal", error->signal > 0 ? error->signal : -1);
  json_string(json, "stage", error->stage);
  json_string(json, "path", error->path);
  json_end(json, '}');
}

// Closes, syncs and renames: the file is there whole or not at all.
static bool put_in_place(FILE *file, const char *temporary, const char *path) {
  bool good = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
  good = fclose(file) == 0 && good;
  return good && rename(temporary, path) == 0;
}

bool write_report_at(const char *path, const Report *report, const AppError *error, bool with_after) {
  char temporary[PATH_SIZE + 8];
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  FILE *file = fopen(temporary, "w");
  if (file == NULL) return false;
  Json json = {file, 0, true};
  write_fields(&json, report, with_after);
  write_error(&json, error);
  json_end(&json, '}');
  fputc('\n', file);
  return put_in_place(file, temporary, path);
}

bool write_report(const Report *report, const AppError *error, bool with_after) {
  char path[PATH_SIZE];
  snprintf(path, sizeof path, "%s/app.json", report->folder);
  return write_report_at(path, report, error, with_after);
}

// The text of app.json up to its error, for a crash; of malloc, NULL when there is no memory.
char *report_without_error(const Report *report, size_t *size) {
  char *text = NULL;
  FILE *file = open_memstream(&text, size);
  if (file == NULL) return NULL;
  Json json = {file, 0, true};
  Report crashed = *report;
  crashed.exit_code = kKinds[KIND_CRASH].exit_code;
  write_fields(&json, &crashed, false);
  return fclose(file) == 0 ? text : NULL;
}

bool write_marker(const char *name, const char *id) {
  char temporary[PATH_SIZE];
  snprintf(temporary, sizeof temporary, "%s.tmp", name);
  FILE *file = fopen(temporary, "w");
  if (file == NULL) return false;
  fputs(id, file);
  return put_in_place(file, temporary, name);
}

// False: there is no such marker, or no id in it.
bool read_marker(const char *name, char id[ID_SIZE + 1]) {
  char text[ID_SIZE + 2] = {0};
  FILE *file = fopen(name, "r");
  if (file == NULL) return false;
  bool read = fgets(text, sizeof text, file) != NULL;
  fclose(file);
  text[strcspn(text, "\r\n")] = 0;
  copy_text(id, ID_SIZE + 1, text);
  return read && is_id(text);
}
