// The decay of soft-NMS (arXiv 1704.04503, section 3), shared by the CPU and the CUDA kernels.
#pragma once

#include "../common/boxes.h"

#include <cmath>

namespace harness::soft_nms {

struct Rule {
  double iou_threshold, min_score, sigma;
  bool gaussian;
};

// The rule in the arithmetic of the kernel, its method known to the compiler: the linear inner loop
// then has no branch and vectorises.
template <typename T, bool Gaussian>
struct Decay {
  static constexpr bool kGaussian = Gaussian;

  T iou_threshold, min_score, sigma;

  explicit Decay(const Rule& rule)
      : iou_threshold(Gaussian ? T(0) : static_cast<T>(rule.iou_threshold)),
        min_score(static_cast<T>(rule.min_score)),
        sigma(static_cast<T>(rule.sigma)) {}

  // The score that is left; 0 where the box is dropped. A NaN overlap decays nothing.
  HARNESS_HOST_DEVICE T operator()(T score, T overlap) const {
    const bool hit = overlap > iou_threshold;
    if constexpr (Gaussian) {
      if (!hit || !(score > T(0))) return score;  // exp is dear
    }
    const T factor = Gaussian ? std::exp(-(overlap * overlap) / sigma) : T(1) - overlap;
    const T decayed = score * factor;
    const T left = decayed < min_score ? T(0) : decayed;
    return hit ? left : score;
  }

  HARNESS_HOST_DEVICE T operator()(T score, const Overlap<T>& overlap) const {
    return overlap.may_exceed(iou_threshold) ? (*this)(score, overlap.iou()) : score;
  }
};

}  // namespace harness::soft_nms
