// The decay of soft-NMS (arXiv 1704.04503, section 3), shared by the CPU and the CUDA kernels.
#pragma once

#include "../common/host_device.h"

#include <cmath>

namespace harness::soft_nms {

struct Rule {
  double iou_threshold, min_score, sigma;
  bool gaussian;
};

// The rule in the arithmetic of the kernel, without conversions in the inner loop.
template <typename T>
struct Decay {
  T iou_threshold, min_score, sigma;
  bool gaussian;

  explicit Decay(const Rule& rule)
      : iou_threshold(static_cast<T>(rule.iou_threshold)),
        min_score(static_cast<T>(rule.min_score)),
        sigma(static_cast<T>(rule.sigma)),
        gaussian(rule.gaussian) {}

  // The score that is left; 0 where the box is dropped. A NaN overlap decays nothing.
  HARNESS_HOST_DEVICE T operator()(T score, T overlap) const {
    if (!(overlap > (gaussian ? T(0) : iou_threshold))) return score;
    const T factor = gaussian ? std::exp(-(overlap * overlap) / sigma) : T(1) - overlap;
    const T left = score * factor;
    return left < min_score ? T(0) : left;
  }
};

}  // namespace harness::soft_nms
