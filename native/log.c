// What the runtime prints. No C function tells the adapter, the node counts or the refused operations.

#include "bench.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEARCHED_BYTES = 8 << 20 };  // of stderr.log

static bool is_blank(const char *text) { return text[strspn(text, " \t\r")] == 0; }

// The number that ends right before `end` in `line`, -1 if there is none.
static int64_t number_before(const char *line, const char *end) {
  const char *start = end;
  while (start > line && isdigit((unsigned char)start[-1])) start--;
  return start == end ? -1 : strtoll(start, NULL, 10);
}

static void parse_line(Log *log, char *line, bool *in_list) {
  static const char kMixed[] = " operations will run on the GPU, and the remaining ";
  static const char kNone[] = "No operations will run on the GPU, and all ";
  static const char kAdapter[] = "Selected adapter: ";
  static const char kType[] = "adapterType=";
  char *found;
  if ((found = strstr(line, kAdapter)) != NULL) {
    const char *type = strstr(found, kType);
    log->adapter = found + sizeof kAdapter - 1;
    log->adapter_type = type ? type + sizeof kType - 1 : NULL;
  } else if (strstr(line, "Following operations are not supported by GPU delegate:") != NULL) {
    *in_list = true;
  } else if ((found = strstr(line, kMixed)) != NULL || (found = strstr(line, kNone)) != NULL) {
    // Printed once for each subgraph that has an unsupported operation; the sum covers the model.
    bool none = strncmp(found, kNone, sizeof kNone - 1) == 0;
    int64_t gpu = none ? 0 : number_before(line, found);
    int64_t cpu = strtoll(found + (none ? sizeof kNone : sizeof kMixed) - 1, NULL, 10);
    if (gpu >= 0) {
      log->gpu_nodes = (log->gpu_nodes < 0 ? 0 : log->gpu_nodes) + gpu;
      log->cpu_nodes = (log->cpu_nodes < 0 ? 0 : log->cpu_nodes) + cpu;
    }
    *in_list = false;
  } else if (*in_list && !is_blank(line)) {
    size_t count = log->unsupported_count++;
    if ((count & (count - 1)) == 0) {  // 0 or a power of two: the room is taken
      const char **grown = allocate(2 * count + 1, sizeof *grown);
      if (count > 0) memcpy(grown, log->unsupported, count * sizeof *grown);
      log->unsupported = grown;
    }
    log->unsupported[count] = line;
  }
}

Log read_log(const char *out) {
  Log log = {.gpu_nodes = -1, .cpu_nodes = -1};
  const char *path = path_in(out, "stderr.log");
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) return log;
  size_t size = info.st_size > SEARCHED_BYTES ? SEARCHED_BYTES : (size_t)info.st_size;
  log.text = allocate(size + 1, 1);
  ssize_t got = pread(file, log.text, size, 0);
  log.text_size = got < 0 ? 0 : (size_t)got;
  log.text[log.text_size] = 0;
  off_t start = info.st_size > TAIL_BYTES ? info.st_size - TAIL_BYTES : 0;
  got = pread(file, log.tail, TAIL_BYTES, start);
  log.tail_size = got < 0 ? 0 : (size_t)got;
  close(file);
  bool in_list = false;
  for (char *line = log.text, *next; line != NULL; line = next) {
    if ((next = strchr(line, '\n')) != NULL) *next++ = 0;
    parse_line(&log, line, &in_list);
  }
  return log;
}

// The part of a line of the log that starts with `words`, NULL if no line holds them.
static const char *find_line(const Log *log, const char *words) {
  const char *end = log->text == NULL ? NULL : log->text + log->text_size;
  for (const char *line = log->text; line < end; line += strlen(line) + 1) {
    const char *found = strstr(line, words);
    if (found != NULL) return found;
  }
  return NULL;
}

// Failures that only the runtime's own words tell from a fault: this model can never run there.
bool never_runs(const char *out, char *message, size_t size) {
  static const char kCustom[] = "Encountered unresolved custom op: ";
  Log log = read_log(out);
  const char *found;
  if (find_line(&log, "Variable tensors not yet supported") != NULL) {
    snprintf(message, size, "the model keeps state in variable tensors, which LiteRT's compiled models do not support");
  } else if (find_line(&log, "Variant tensors not yet supported") != NULL) {
    snprintf(message, size, "the model has variant tensors, which LiteRT does not support");
  } else if (find_line(&log, "Select TensorFlow op(s), included in the given model") != NULL) {
    snprintf(message, size, "the model needs TensorFlow (Flex) operations, for which this runtime has no kernels");
  } else if ((found = find_line(&log, kCustom)) != NULL) {
    found += sizeof kCustom - 1;
    snprintf(message, size, "the model needs the custom operation '%.*s', for which this runtime has no kernel",
             (int)strcspn(found, ".\r"), found);
  } else if (find_line(&log, "Failed to set custom allocation for output") != NULL) {
    snprintf(message, size, "the size of an output depends on the data, which LiteRT's compiled models do not support");
  } else {
    return false;
  }
  return true;
}
