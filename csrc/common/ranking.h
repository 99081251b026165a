// The order in which scores are chosen: highest first, of equals the first, NaN never.
#pragma once

#include "host_device.h"

#include <cstdint>
#include <cstring>

namespace harness {

// A number that orders as the score does; 0 is for what is never chosen.
HARNESS_HOST_DEVICE uint32_t ranking_key(float score) {
  if (score != score) return 0;
  score += 0.0f;  // zeros of both signs are equal
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

HARNESS_HOST_DEVICE float ranked_score(uint32_t key) {
  const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  return score;
}

}  // namespace harness
