// Which boxes of a padded group there are: by flags, or by the number of those in front.
#pragma once

#include "../common/host_device.h"

#include <cstdint>

namespace harness::nms {

struct Present {
  const bool* flags;  // one of the two is null
  const int64_t* counts;
  int64_t size;  // of a group

  HARNESS_HOST_DEVICE bool operator()(int64_t group, int64_t i) const {
    return flags ? flags[group * size + i] : i < counts[group];
  }
};

}  // namespace harness::nms
