// The whole interface between the app's core and the shell of a platform (UIKit's in native/ios, the emulated phones'
// in emulated/ios/app). The shell fills an AppShell and calls app_run() on a thread of its own.

#ifndef DELEGATE_BENCH_APP_APP_H_
#define DELEGATE_BENCH_APP_APP_H_

#include <stdbool.h>

typedef enum { THERMAL_UNKNOWN = -1, THERMAL_NOMINAL, THERMAL_FAIR, THERMAL_SERIOUS, THERMAL_CRITICAL } ThermalState;

// How the phone is at a moment; negative is unknown.
typedef struct {
  ThermalState thermal_state;
  int low_power_mode;    // 0, 1
  double battery_level;  // 0 to 1
  int charging;          // 0, 1
  int away;              // 0, 1: the app is not in front, so that it may be suspended and has no GPU
  int times_away;        // how often it left the front so far
} AppState;

typedef struct {
  void *context;                                       // for the callbacks
  const char *documents;                               // the app's Documents folder
  const char *library, *accelerators;                  // LiteRT's library; the folder of its accelerators' libraries
  const char *runtime_version;                         // LiteRT's, as the app was built; NULL: not known
  const char *bundle, *version, *build;                // the app's own
  const char *program;                                 // the app's executable file; NULL: not known
  const char *system_name, *system_version, *machine;  // NULL: what uname() says
  const char *metal_device;                            // NULL: there is none
  bool emulated;
  // Called on threads of the core, with any of them NULL left out. How the phone is now; what the app does now, for a
  // label; which stage of delegate_bench a job enters, on the job's own thread (for emulated faults).
  void (*state)(void *context, AppState *state);
  void (*tell)(void *context, const char *words);
  void (*entered)(void *context, const char *stage);
} AppShell;

// Exit codes of a start with --once beside those of delegate_bench (native/README.md).
enum { APP_BAD_JOB = 65, APP_CANNOT_WRITE = 73, APP_OTHER_JOB = 75 };

// With `--once ID` among the words: does the job ID and returns the exit code for the process. Otherwise works through
// jobs for as long as the process lives. Ends the process itself when a job crashes, hangs or takes too much memory.
int app_run(const AppShell *shell, int count, char **words);

#endif  // DELEGATE_BENCH_APP_APP_H_
