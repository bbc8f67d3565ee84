// A strict JSON reader (RFC 8259) for files that a computer wrote: one value, valid UTF-8, no key twice, no NUL in a
// string, 16 levels, 1000 keys. What it returns lives until free_all().

#include "parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16, MAX_MEMBERS = 1000, NUMBER_SIZE = 64 };

typedef struct {
  const char *start, *at, *end;
  int depth;
  char *problem;
  size_t problem_size;
} Reader;

static bool wrong(Reader *reader, const char *what) {
  int line = 1;
  for (const char *c = reader->start; c < reader->at; c++) line += *c == '\n';
  snprintf(reader->problem, reader->problem_size, "line %d: %s", line, what);
  return false;
}

static void skip_blanks(Reader *reader) {
  while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at) reader->at++;
}

static bool next_is(Reader *reader, char expected) {
  skip_blanks(reader);
  if (reader->at == reader->end || *reader->at != expected) return false;
  reader->at++;
  return true;
}

static bool read_hex(Reader *reader, unsigned *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, reader->at++) {
    static const char kDigits[] = "0123456789abcdef";
    char c = reader->at < reader->end ? *reader->at : 0;
    const char *found = c == 0 ? NULL : strchr(kDigits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c);
    if (found == NULL) return wrong(reader, "\\u needs four hexadecimal digits");
    *code = *code * 16 + (unsigned)(found - kDigits);
  }
  return true;
}

static char *put_utf8(char *target, unsigned code) {
  int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned kFirst[] = {0, 0xc0, 0xe0, 0xf0};
  *target++ = (char)(kFirst[more] | code >> 6 * more);
  while (more-- > 0) *target++ = (char)(0x80 | (code >> 6 * more & 0x3f));
  return target;
}

static bool read_escape(Reader *reader, char **target) {
  static const char kEscapes[] = "\"\\/bfnrt", kMeanings[] = "\"\\/\b\f\n\r\t";
  char c = reader->at < reader->end ? *reader->at++ : 0;
  const char *found = c == 0 ? NULL : strchr(kEscapes, c);
  if (found != NULL) {
    *(*target)++ = kMeanings[found - kEscapes];
    return true;
  }
  unsigned code, low;
  if (c != 'u') return wrong(reader, "an unknown escape in a string");
  if (!read_hex(reader, &code)) return false;
  if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 2 && memcmp(reader->at, "\\u", 2) == 0) {
    reader->at += 2;
    if (!read_hex(reader, &low)) return false;
    code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00) : 0xd800;
  }
  if (code == 0 || (code >= 0xd800 && code < 0xe000)) return wrong(reader, "a \\u that is no character");
  *target = put_utf8(*target, code);
  return true;
}

// After the opening quote. No escape is shorter than what it means, so the text is never longer than its source.
static const char *read_string(Reader *reader) {
  const char *close = reader->at;
  while (close < reader->end && *close != '"') close += *close == '\\' ? 2 : 1;
  if (close >= reader->end) return wrong(reader, "a string without an end"), NULL;
  char *text = allocate((size_t)(close - reader->at) + 1, 1), *target = text;
  while (reader->at < close) {
    size_t length = utf8_length((const unsigned char *)reader->at, (size_t)(close - reader->at));
    if (length == 0) return wrong(reader, "bytes that are not UTF-8"), NULL;
    if ((unsigned char)*reader->at < 0x20) return wrong(reader, "a control character in a string"), NULL;
    if (*reader->at == '\\') {
      reader->at++;
      if (!read_escape(reader, &target)) return NULL;
    } else {
      memcpy(target, reader->at, length);
      target += length;
      reader->at += length;
    }
  }
  reader->at = close + 1;
  return text;
}

static size_t digits(const char *text) { return strspn(text, "0123456789"); }

static bool read_number(Reader *reader, double *number) {
  char text[NUMBER_SIZE] = {0};
  size_t size = 0;
  while (reader->at + size < reader->end && strchr("+-.0123456789eE", reader->at[size]) && reader->at[size]) size++;
  if (size >= sizeof text) return wrong(reader, "a number that is too long");
  memcpy(text, reader->at, size);
  const char *at = text + (text[0] == '-'), *whole = at;
  at += digits(at);
  bool good = at > whole && (whole[0] != '0' || at == whole + 1);
  if (*at == '.') {
    good = good && digits(at + 1) > 0;
    at += 1 + digits(at + 1);
  }
  if (*at == 'e' || *at == 'E') {
    at += 1 + (at[1] == '+' || at[1] == '-');
    good = good && digits(at) > 0;
    at += digits(at);
  }
  *number = strtod(text, NULL);
  if (!good || *at != 0 || !isfinite(*number)) return wrong(reader, "not a value");
  reader->at += size;
  return true;
}

static bool read_value(Reader *reader, Value *value);

static bool read_elements(Reader *reader, Value *whole, bool object) {
  char close = object ? '}' : ']';
  if (++reader->depth > MAX_DEPTH) return wrong(reader, "too many levels");
  Value **place = &whole->first;
  for (bool more = !next_is(reader, close); more; more = !next_is(reader, close)) {
    if (whole->count > 0 && !next_is(reader, ',')) return wrong(reader, "a comma or a closing bracket is missing");
    Value *value = allocate(1, sizeof *value);
    if (object) {
      if (whole->count == MAX_MEMBERS) return wrong(reader, "too many keys");
      if (!next_is(reader, '"')) return wrong(reader, "a key is missing");
      if ((value->key = read_string(reader)) == NULL) return false;
      if (member(whole, value->key) != NULL) return wrong(reader, "a key that is there twice");
      if (!next_is(reader, ':')) return wrong(reader, "a colon is missing");
    }
    if (!read_value(reader, value)) return false;
    *place = value;
    place = &value->next;
    whole->count++;
  }
  reader->depth--;
  return true;
}

static bool read_value(Reader *reader, Value *value) {
  static const struct { const char *word; JsonType type; } kWords[] = {
      {"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE}};
  bool object = next_is(reader, '{');
  if (object || next_is(reader, '[')) {
    value->type = object ? JSON_OBJECT : JSON_ARRAY;
    return read_elements(reader, value, object);
  }
  if (next_is(reader, '"')) {
    value->type = JSON_STRING;
    return (value->text = read_string(reader)) != NULL;
  }
  for (size_t i = 0; i < sizeof kWords / sizeof kWords[0]; i++) {
    size_t size = strlen(kWords[i].word);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, kWords[i].word, size) != 0) continue;
    reader->at += size;
    value->type = kWords[i].type;
    return true;
  }
  value->type = JSON_NUMBER;
  return read_number(reader, &value->number);
}

// The value that `text` is; NULL with the problem in words.
const Value *read_json(const char *text, size_t size, char *problem, size_t problem_size) {
  Reader reader = {.start = text, .at = text, .end = text + size, .problem = problem, .problem_size = problem_size};
  Value *value = allocate(1, sizeof *value);
  if (!read_value(&reader, value)) return NULL;
  skip_blanks(&reader);
  if (reader.at != reader.end) {
    wrong(&reader, "something follows the value");
    return NULL;
  }
  return value;
}

// A member of an object, NULL if there is none, or no object.
const Value *member(const Value *object, const char *key) {
  for (const Value *value = object == NULL ? NULL : object->first; value != NULL; value = value->next) {
    if (value->key != NULL && strcmp(value->key, key) == 0) return value;
  }
  return NULL;
}
