// The app on an emulated iPhone: the app's core, with a shell that asks a file and variables what UIKit's asks iOS.
//
// HOME is the container. Its harness-state.json says how the phone is, whenever it is asked:
//   {"thermal_state": "nominal", "low_power_mode": false, "battery_level": 0.8, "charging": true,
//    "system": {"name", "version", "machine"}, "metal_device": null, "fault": {"signal": 11, "stage": "run"}}
// All keys may be missing or null. `fault` sends the process a signal when it reaches a stage of delegate_bench, or
// "launch" before it does anything. A file hold-STAGE in the container has it wait when it reaches that stage: it renames
// the file to held-STAGE, and goes on once that is gone. The variables EMULATED_APP_* are build.py's to set.

#include "../../../native/app/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char kStateFile[] = "harness-state.json";
static const char *const kThermalStates[] = {"nominal", "fair", "serious", "critical"};
static const char *container;
static volatile sig_atomic_t times_away;  // an app that is not in front is stopped here, as iOS suspends it
static int own_output;  // standard output, which a job turns over to its log
static struct {
  int signal;
  const char *stage;
} fault;

// Of the core's memory, which ends with a job: what is kept has to be copied.
static const Value *read_state(void) {
  char problem[256];
  size_t size = 0;
  const char *text = map_file(path_in(container, kStateFile), &size);
  const Value *state = text == NULL ? NULL : read_json(text, size, problem, sizeof problem);
  if (text != NULL && state == NULL) fprintf(stderr, "emulated app: %s: %s\n", kStateFile, problem);
  return state;
}

static int flag_of(const Value *value) {
  bool known = value != NULL && (value->type == JSON_TRUE || value->type == JSON_FALSE);
  return known ? value->type == JSON_TRUE : -1;
}

static char *copy_of(const Value *value) {
  return value != NULL && value->type == JSON_STRING ? strdup(value->text) : NULL;
}

static void state_of(void *context, AppState *state) {
  (void)context;
  const Value *said = read_state(), *thermal = member(said, "thermal_state"), *level = member(said, "battery_level");
  for (int i = 0; thermal != NULL && thermal->type == JSON_STRING && i <= THERMAL_CRITICAL; i++) {
    if (strcmp(thermal->text, kThermalStates[i]) == 0) state->thermal_state = (ThermalState)i;
  }
  state->low_power_mode = flag_of(member(said, "low_power_mode"));
  if (level != NULL && level->type == JSON_NUMBER) state->battery_level = level->number;
  state->charging = flag_of(member(said, "charging"));
  state->away = 0;
  state->times_away = (int)times_away;
}

static void on_return(int number) {
  (void)number;
  times_away++;
}

static void tell(void *context, const char *words) {
  (void)context;
  write_all(own_output, words, strlen(words));
  write_all(own_output, "\n", 1);
}

static void hold(const char *stage) {
  char asked[PATH_MAX], held[PATH_MAX];
  snprintf(asked, sizeof asked, "%s/hold-%s", container, stage);
  snprintf(held, sizeof held, "%s/held-%s", container, stage);
  if (rename(asked, held) != 0) return;
  while (access(held, F_OK) == 0) usleep(5000);
}

static void entered(void *context, const char *stage) {
  (void)context;
  hold(stage);
  if (fault.stage != NULL && strcmp(stage, fault.stage) == 0) raise(fault.signal);
}

static void prepare_fault(const Value *said) {
  const Value *number = member(said, "signal");
  if (number == NULL || number->type != JSON_NUMBER) return;
  fault.signal = (int)number->number;
  fault.stage = copy_of(member(said, "stage"));
  entered(NULL, "launch");
}

static const char *variable(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value != NULL && value[0] != 0 ? value : otherwise;
}

int main(int count, char **words) {
  struct sigaction action = {.sa_handler = on_return, .sa_flags = SA_RESTART};
  sigaction(SIGCONT, &action, NULL);
  container = getenv("HOME");
  const char *library = getenv("EMULATED_APP_LIBRARY");
  own_output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (container == NULL || library == NULL || own_output < 0) {
    fprintf(stderr, "emulated app: HOME (the container) and EMULATED_APP_LIBRARY are needed\n");
    return 2;
  }
  const Value *said = read_state(), *system = member(said, "system");
  char *documents = strdup(path_in(container, "Documents"));
  if (mkdir(documents, 0755) != 0 && errno != EEXIST) {
    perror(documents);
    return APP_CANNOT_WRITE;
  }
  AppShell shell = {.documents = documents,
                    .library = library,
                    .accelerators = variable("EMULATED_APP_ACCELERATORS", "."),
                    .runtime_version = variable("EMULATED_APP_RUNTIME_VERSION", NULL),
                    .bundle = variable("EMULATED_APP_BUNDLE", "com.example.delegatebench"),
                    .version = variable("EMULATED_APP_VERSION", "1.0"),
                    .build = variable("EMULATED_APP_BUILD", "1"),
                    .program = realpath(words[0], NULL),
                    .system_name = copy_of(member(system, "name")),
                    .system_version = copy_of(member(system, "version")),
                    .machine = copy_of(member(system, "machine")),
                    .metal_device = copy_of(member(said, "metal_device")),
                    .emulated = true,
                    .state = state_of,
                    .tell = tell,
                    .entered = entered};
  prepare_fault(member(said, "fault"));
  return app_run(&shell, count, words);
}
