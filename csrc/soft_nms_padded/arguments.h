#pragma once

#include "../common/tensors.h"
#include "soft_nms_padded.h"

#include <string>

namespace harness::soft_nms {

inline Rule make_rule(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    const std::string& method, double sigma) {
  STD_TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4, "soft_nms_padded: boxes must be (G, N, 4)");
  STD_TORCH_CHECK(
      scores.dim() == 2 && scores.size(0) == boxes.size(0) && scores.size(1) == boxes.size(1),
      "soft_nms_padded: scores must be (G, N)");
  STD_TORCH_CHECK(
      scores.scalar_type() == boxes.scalar_type() && scores.device() == boxes.device(),
      "soft_nms_padded: boxes and scores differ in dtype or device");
  STD_TORCH_CHECK(
      method == "linear" || method == "gaussian",
      "soft_nms_padded: method is 'linear' or 'gaussian'");
  return {iou_threshold, min_score, sigma, method == "gaussian"};
}

}  // namespace harness::soft_nms
