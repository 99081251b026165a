// Division by a number that many threads divide by.
#pragma once

#include "host_device.h"

#include <cstdint>

namespace harness {

// Divides by a product where the numbers are small enough for it to be exact.
struct Divider {
  uint32_t divisor = 1, factor = 0;  // factor 0: divide

  Divider() = default;
  Divider(int64_t divisor, int64_t largest)
      : divisor(static_cast<uint32_t>(divisor)),
        factor(
            divisor > 1 && largest * divisor < (int64_t(1) << 32)
                ? static_cast<uint32_t>((int64_t(1) << 32) / divisor + 1)
                : 0) {}

  HARNESS_HOST_DEVICE uint32_t operator()(uint32_t number) const {
    return factor ? static_cast<uint32_t>(uint64_t(number) * factor >> 32) : number / divisor;
  }
};

}  // namespace harness
