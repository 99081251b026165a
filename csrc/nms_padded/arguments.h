#pragma once

#include "../common/tensors.h"

namespace harness::nms {

inline void check(const Tensor& boxes, const Tensor& valid) {
  STD_TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4, "nms_padded: boxes must be (G, N, 4)");
  STD_TORCH_CHECK(
      valid.dim() == 2 && valid.size(0) == boxes.size(0) && valid.size(1) == boxes.size(1) &&
          valid.scalar_type() == ScalarType::Bool,
      "nms_padded: valid must be (G, N) bool");
  STD_TORCH_CHECK(valid.device() == boxes.device(), "nms_padded: valid is on another device");
}

}  // namespace harness::nms
