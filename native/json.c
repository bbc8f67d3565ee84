// A JSON writer: one line per key of the outermost object.

#include "bench.h"

#include <stdio.h>
#include <string.h>

// Length of the valid UTF-8 sequence at `text`, 0 if it is not one.
size_t utf8_length(const unsigned char *text, size_t size) {
  if (text[0] < 0x80) return 1;
  size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
  if (text[0] < 0xc2 || text[0] > 0xf4 || length > size) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
  bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
  bool too_large = text[0] == 0xf4 && text[1] >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

// Control characters and bytes that are not UTF-8 become \u00XX.
void json_text(Json *json, const char *text, size_t size) {
  const unsigned char *bytes = (const unsigned char *)text;
  fputc('"', json->file);
  for (size_t i = 0; i < size;) {
    size_t length = utf8_length(bytes + i, size - i);
    if (bytes[i] == '\n') {
      fputs("\\n", json->file);
    } else if (bytes[i] == '"' || bytes[i] == '\\') {
      fprintf(json->file, "\\%c", bytes[i]);
    } else if (length == 0 || bytes[i] < 0x20 || bytes[i] == 0x7f) {
      fprintf(json->file, "\\u%04x", bytes[i]);
    } else {
      fwrite(bytes + i, 1, length, json->file);
      i += length;
      continue;
    }
    i++;
  }
  fputc('"', json->file);
}

void json_key(Json *json, const char *key) {
  if (!json->first) fputc(',', json->file);
  json->first = false;
  if (key != NULL) {
    if (json->depth == 1) fputc('\n', json->file);
    json_text(json, key, strlen(key));
    fputc(':', json->file);
  }
}

void json_begin(Json *json, const char *key, char bracket) {
  json_key(json, key);
  fputc(bracket, json->file);
  json->first = true;
  json->depth++;
}

void json_end(Json *json, char bracket) {
  fputc(bracket, json->file);
  json->first = false;
  json->depth--;
}

void json_null(Json *json, const char *key) {
  json_key(json, key);
  fputs("null", json->file);
}

void json_string(Json *json, const char *key, const char *text) {
  if (text == NULL) {
    json_null(json, key);
    return;
  }
  json_key(json, key);
  json_text(json, text, strlen(text));
}

void json_integer(Json *json, const char *key, int64_t value) {
  json_key(json, key);
  fprintf(json->file, "%lld", (long long)value);
}

void json_known(Json *json, const char *key, int64_t value) {  // null when unknown
  value < 0 ? json_null(json, key) : json_integer(json, key, value);
}

void json_us(Json *json, const char *key, double value) {
  if (value < 0) {
    json_null(json, key);
    return;
  }
  json_key(json, key);
  fprintf(json->file, "%.3f", value);
}

void json_flag(Json *json, const char *key, int value) {
  json_key(json, key);
  fputs(value < 0 ? "null" : value ? "true" : "false", json->file);
}

void json_times(Json *json, const char *key, const double *values, long count) {
  json_begin(json, key, '[');
  for (long i = 0; i < count; i++) json_us(json, NULL, values[i]);
  json_end(json, ']');
}
