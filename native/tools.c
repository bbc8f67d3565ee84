// Small tools: time, files, memory, names.

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <TargetConditionals.h>
#include <mach/mach.h>
#if !TARGET_OS_IPHONE
#include <libproc.h>
#endif
#endif

double now_us(void) {
  struct timespec time;
#ifdef __APPLE__
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);  // CLOCK_MONOTONIC has microsecond steps there
#else
  clock_gettime(CLOCK_MONOTONIC, &time);
#endif
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

// Memory that is given back at once, at the end of a run. Several threads may add to it.
typedef struct Held {
  struct Held *next;
  void *address;
  size_t mapped;  // bytes, 0: it is of malloc
} Held;
static _Atomic(Held *) all_held;

static bool hold(void *address, size_t mapped) {
  Held *held = malloc(sizeof *held);
  if (held == NULL) return false;
  *held = (Held){atomic_load(&all_held), address, mapped};
  while (!atomic_compare_exchange_weak(&all_held, &held->next, held)) continue;
  return true;
}

void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size ? size : 1);
  if (memory == NULL || !hold(memory, 0)) {
    fprintf(stderr, "delegate_bench: out of memory (%zu x %zu bytes)\n", count, size);
    abort();  // reported as a crash, with this line
  }
  return memory;
}

void free_all(void) {
  for (Held *held = atomic_exchange(&all_held, NULL), *next; held != NULL; held = next) {
    next = held->next;
    if (held->mapped > 0) {
      munmap(held->address, held->mapped);
    } else {
      free(held->address);
    }
    free(held);
  }
}

char *path_in(const char *folder, const char *name) {
  size_t size = strlen(folder) + strlen(name) + 2;
  char *path = allocate(size, 1);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

void copy_text(char *target, size_t size, const char *text) { snprintf(target, size, "%s", text ? text : ""); }

// The checksum that zlib calls crc32; the other side recomputes it for every file, so it must be a fast one there.
uint32_t crc32_of(const uint8_t *data, size_t size) {
  static uint32_t table[256];
  if (table[1] == 0) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
      table[byte] = value;
    }
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; i++) crc = table[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffu;
}

// Maps a whole file for reading; NULL with errno on failure. An empty file gives a pointer to nothing.
const void *map_file(const char *path, size_t *size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return NULL;
  struct stat info;
  const void *data = NULL;
  if (fstat(file, &info) == 0) {
    *size = (size_t)info.st_size;
    if (S_ISDIR(info.st_mode)) {
      errno = EISDIR;
    } else if (*size == 0) {
      data = "";
    } else {
      void *mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
      data = mapped == MAP_FAILED || !hold(mapped, *size) ? NULL : mapped;
    }
  }
  close(file);
  return data;
}

bool write_all(int file, const void *data, size_t size) {
  const char *bytes = data;
  while (size > 0) {
    ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

// Resident memory of a process in bytes, -1 if it cannot be told. iOS tells of an app's own process only, and what it
// limits there is the footprint.
int64_t resident_bytes(pid_t process) {
#if defined(__APPLE__) && TARGET_OS_IPHONE
  return process == getpid() ? footprint_bytes() : -1;
#elif defined(__APPLE__)
  struct rusage_info_v0 usage;
  if (proc_pid_rusage(process, RUSAGE_INFO_V0, (rusage_info_t *)&usage) != 0) return -1;
  return (int64_t)usage.ri_resident_size;
#else
  char path[64], text[128];
  snprintf(path, sizeof path, "/proc/%ld/statm", (long)process);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  if (size <= 0) return -1;
  text[size] = 0;
  long long resident = -1;
  return sscanf(text, "%*s %lld", &resident) == 1 ? (int64_t)resident * getpagesize() : -1;
#endif
}

#ifdef __APPLE__
// Which of its figures a kernel fills in depends on its age; the others stay 0.
static bool own_memory(task_vm_info_data_t *info) {
  mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
  memset(info, 0, sizeof *info);
  return task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)info, &count) == KERN_SUCCESS;
}
#endif

// Memory that the system holds against this process, in bytes: Apple's footprint, elsewhere what is resident.
int64_t footprint_bytes(void) {
#ifdef __APPLE__
  task_vm_info_data_t info;
  return own_memory(&info) ? (int64_t)info.phys_footprint : -1;
#else
  return resident_bytes(getpid());
#endif
}

// ru_maxrss in bytes.
int64_t peak_of_usage(long maxrss) {
#ifdef __APPLE__
  return (int64_t)maxrss;
#else
  return (int64_t)maxrss * 1024;
#endif
}

// Peak resident memory of this process. VmHWM starts afresh with each program; ru_maxrss is inherited through exec, so
// that a small program started by a large one would report the large one.
int64_t peak_resident_bytes(void) {
#if defined(__APPLE__) && TARGET_OS_IPHONE
  task_vm_info_data_t info;
  if (own_memory(&info) && info.ledger_phys_footprint_peak > 0) return info.ledger_phys_footprint_peak;
#endif
  FILE *status = fopen("/proc/self/status", "r");
  if (status != NULL) {
    char line[256];
    long long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %lld", &kib);
    fclose(status);
    if (kib >= 0) return (int64_t)kib * 1024;
  }
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? peak_of_usage(usage.ru_maxrss) : -1;
}

const char *status_name(int status) {
  static const struct { int status; const char *name; } kNames[] = {
      {0, "Ok"}, {1, "InvalidArgument"}, {2, "MemoryAllocationFailure"}, {3, "RuntimeFailure"},
      {4, "MissingInputTensor"}, {5, "Unsupported"}, {6, "NotFound"}, {7, "TimeoutExpired"}, {8, "WrongVersion"},
      {9, "Unknown"}, {10, "AlreadyExists"}, {100, "Cancelled"}, {500, "FileIO"}, {501, "InvalidFlatbuffer"},
      {502, "DynamicLoading"}, {503, "Serialization"}, {504, "Compilation"}, {1000, "IndexOOB"},
      {1001, "InvalidIrType"}, {1002, "InvalidGraphInvariant"}, {1003, "GraphModification"},
      {1500, "InvalidToolConfig"}, {4000, "UnsupportedRuntimeVersion"}, {5001, "ShapeInferenceFailed"}};
  for (size_t i = 0; i < sizeof kNames / sizeof kNames[0]; i++) {
    if (kNames[i].status == status) return kNames[i].name;
  }
  return "unknown";
}

const char *signal_name(int number) {
  static const struct { int number; const char *name; } kNames[] = {
      {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGKILL, "SIGKILL"},
      {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"}, {SIGTRAP, "SIGTRAP"}, {SIGTERM, "SIGTERM"}, {SIGXCPU, "SIGXCPU"}};
  for (size_t i = 0; i < sizeof kNames / sizeof kNames[0]; i++) {
    if (kNames[i].number == number) return kNames[i].name;
  }
  return "signal";
}
