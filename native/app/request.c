// job.json: what it says, and whether the files that it names are there.

#include "parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_JOB_BYTES = 8 << 20 };

bool is_id(const char *text) { return strlen(text) == ID_SIZE && strspn(text, "0123456789abcdef") == ID_SIZE; }

// The job's place in it is the app's to give, and so is the library.
static bool is_the_app_s(const char *word) {
  static const char *const kOwn[] = {"--lib", "--accel-dir", "--out", "--run-id", "--help", "--version"};
  for (size_t i = 0; i < sizeof kOwn / sizeof kOwn[0]; i++) {
    if (strcmp(word, kOwn[i]) == 0) return true;
  }
  return false;
}

// Inside Documents, with no way out of it.
static bool is_inside(const char *path) {
  if (path[0] == 0 || path[0] == '/') return false;
  for (const char *part = path; part != NULL; part = strchr(part, '/')) {
    part += *part == '/';
    size_t size = strcspn(part, "/");
    if (size == 0 || (size == 2 && memcmp(part, "..", 2) == 0)) return false;
  }
  return true;
}

static bool is_variable(const char *name) {
  return (isalpha((unsigned char)name[0]) || name[0] == '_') && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                                                 "abcdefghijklmnopqrstuvwxyz"
                                                                                 "0123456789_")] == 0;
}

static const char *text_of(const Value *value) {
  return value != NULL && value->type == JSON_STRING ? value->text : NULL;
}

static const char *read_words(const Value *list, Request *request) {
  if (list == NULL || list->type != JSON_ARRAY) return "`arguments` is not a list";
  request->words = allocate(list->count + 8, sizeof *request->words);  // room for what the app adds
  for (const Value *value = list->first; value != NULL; value = value->next) {
    const char *word = text_of(value);
    if (word == NULL) return "`arguments` has something that is no text";
    if (is_the_app_s(word)) return "`arguments` has an option that the app gives itself";
    request->words[request->word_count++] = (char *)word;
  }
  return NULL;
}

static const char *read_files(const Value *list, Request *request) {
  if (list == NULL || list->type != JSON_ARRAY) return "`files` is not a list";
  request->files = allocate(list->count, sizeof *request->files);
  for (const Value *value = list->first; value != NULL; value = value->next) {
    const Value *bytes = member(value, "bytes");
    JobFile file = {.path = text_of(member(value, "path")), .sha256 = text_of(member(value, "sha256"))};
    if (file.path == NULL || !is_inside(file.path)) return "a file's `path` is missing or leads out of Documents";
    if (bytes == NULL || bytes->type != JSON_NUMBER || bytes->number < 0 || bytes->number > 1e15 ||
        bytes->number != (double)(uint64_t)bytes->number) {
      return "a file's `bytes` is no size";
    }
    if (file.sha256 == NULL || strlen(file.sha256) != HASH_SIZE ||
        strspn(file.sha256, "0123456789abcdef") != HASH_SIZE) {
      return "a file's `sha256` is not 64 hexadecimal digits";
    }
    file.bytes = (uint64_t)bytes->number;
    request->files[request->file_count++] = file;
  }
  return NULL;
}

static const char *read_variables(const Value *table, Request *request) {
  if (table == NULL || table->type != JSON_OBJECT) return "`env` is not a table";
  request->variables = allocate(table->count, sizeof *request->variables);
  for (const Value *value = table->first; value != NULL; value = value->next) {
    JobVariable variable = {value->key, text_of(value)};
    if (!is_variable(variable.name)) return "`env` has a name that no variable can have";
    if (variable.value == NULL) return "`env` has a value that is no text";
    request->variables[request->variable_count++] = variable;
  }
  return NULL;
}

static const char *read_job(const Value *job, Request *request) {
  if (job->type != JSON_OBJECT) return "it is not a table";
  const char *id = text_of(member(job, "id"));
  if (id != NULL && is_id(id)) copy_text(request->id, sizeof request->id, id);
  if (request->id[0] == 0) return "`id` is not 16 hexadecimal digits";
  const Value *schema = member(job, "schema");
  if (schema == NULL || schema->type != JSON_NUMBER || schema->number != JOB_SCHEMA) {
    return "`schema` is not 1: the app and the harness are of different versions";
  }
  const char *fault = read_words(member(job, "arguments"), request);
  if (fault == NULL) fault = read_files(member(job, "files"), request);
  return fault != NULL ? fault : read_variables(member(job, "env"), request);
}

// Reads job.json. REQUEST_BAD: `problem` says why, and the id is there if it can be read.
RequestState read_request(const char *path, Request *request, char *problem, size_t size) {
  char fault[256];
  struct stat info;
  size_t bytes = 0;
  *request = (Request){.id = ""};
  if (stat(path, &info) != 0 && errno == ENOENT) return REQUEST_NONE;
  const char *text = info.st_size > MAX_JOB_BYTES ? NULL : map_file(path, &bytes);
  if (text == NULL) {
    snprintf(problem, size, "%s cannot be read: %s", path,
             info.st_size > MAX_JOB_BYTES ? "it is too large" : strerror(errno));
    return REQUEST_BAD;
  }
  const Value *job = read_json(text, bytes, fault, sizeof fault);
  const char *wrong = job == NULL ? fault : read_job(job, request);
  if (wrong == NULL) return REQUEST_GOOD;
  snprintf(problem, size, "%s is no job: %s", path, wrong);
  return REQUEST_BAD;
}

// What is wrong with a job's file, in words; NULL if nothing is.
const char *file_fault(const JobFile *file, char *message, size_t size) {
  struct stat info;
  uint64_t bytes;
  char found[HASH_SIZE + 1];
  if (stat(file->path, &info) != 0) {
    snprintf(message, size, "the file %s is not there: %s", file->path, strerror(errno));
  } else if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != file->bytes) {
    snprintf(message, size, "the file %s has %lld bytes; the job says %llu", file->path, (long long)info.st_size,
             (unsigned long long)file->bytes);
  } else if (!sha256_file(file->path, found, &bytes)) {
    snprintf(message, size, "the file %s cannot be read: %s", file->path, strerror(errno));
  } else if (strcmp(found, file->sha256) != 0) {
    snprintf(message, size, "the file %s has the SHA-256 %s; the job says %s", file->path, found, file->sha256);
  } else {
    return NULL;
  }
  return message;
}
