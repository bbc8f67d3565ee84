// SHA-256 (FIPS 180-4).

#include "parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline uint32_t turn(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static void take_block(uint32_t state[8], const uint8_t *block) {
  static const uint32_t kConstants[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t words[64];
  for (int i = 0; i < 16; i++, block += 4) {
    words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
  }
  for (int i = 16; i < 64; i++) {
    uint32_t a = words[i - 15], b = words[i - 2];
    uint32_t low = turn(a, 7) ^ turn(a, 18) ^ a >> 3, high = turn(b, 17) ^ turn(b, 19) ^ b >> 10;
    words[i] = words[i - 16] + low + words[i - 7] + high;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    uint32_t mixed = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25), choice = g ^ (e & (f ^ g));
    uint32_t one = h + mixed + choice + kConstants[i] + words[i];
    uint32_t two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
    h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;
  }
  const uint32_t added[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; i++) state[i] += added[i];
}

// The hash of a file in hexadecimal digits, and its size. Read, not mapped: a run's memory is measured after it. False
// with errno: it cannot be read.
bool sha256_file(const char *path, char hex[HASH_SIZE + 1], uint64_t *size) {
  static uint8_t buffer[64 << 10];
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  size_t held = 0;  // bytes of the buffer
  ssize_t got;
  *size = 0;
  while ((got = read(file, buffer + held, sizeof buffer - held)) > 0) {
    held += (size_t)got;
    *size += (uint64_t)got;
    if (held < sizeof buffer) continue;
    for (size_t i = 0; i < held; i += 64) take_block(state, buffer + i);
    held = 0;
  }
  close(file);
  if (got < 0) return false;
  size_t whole = held / 64 * 64, rest = held - whole;
  for (size_t i = 0; i < whole; i += 64) take_block(state, buffer + i);
  uint8_t last[128] = {0};
  size_t padded = rest < 56 ? 64 : 128;
  memcpy(last, buffer + whole, rest);
  last[rest] = 0x80;
  for (int i = 0; i < 8; i++) last[padded - 1 - (size_t)i] = (uint8_t)(*size * 8 >> 8 * i);
  for (size_t i = 0; i < padded; i += 64) take_block(state, last + i);
  for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)state[i]);
  return true;
}
