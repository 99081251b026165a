// The decay of soft-NMS (arXiv 1704.04503, section 3), shared by the CPU and the CUDA kernels.
#pragma once

#include "../common/boxes.h"

#include <cmath>

namespace harness::soft_nms {

struct Rule {
  double score_threshold, iou_threshold, min_score, sigma;
  bool gaussian;
};

// One class of an image.
template <typename T, typename Scalar>
struct Class {
  Corners<Scalar> corners;
  const Scalar* scores;
  int64_t step, count, size;  // boxes from `count` to `size` are padding
  T score_threshold;

  // 0 for what is not a candidate.
  HARNESS_HOST_DEVICE T score(int64_t i) const {
    const T score = i < count ? static_cast<T>(scores[i * step]) : T(0);
    return score > score_threshold ? score : T(0);
  }
  HARNESS_HOST_DEVICE Box<T> box(int64_t i) const { return corners.template load<T>(0, i); }
};

// The scores of all classes of all images in whatever memory format, and the boxes that the classes of
// an image share.
template <typename T, typename Scalar>
struct Classes {
  Corners<Scalar> corners;
  const Scalar* scores;
  int64_t image_stride, class_stride, box_stride;
  const int64_t* counts;  // of an image's boxes; null: all
  int64_t classes, size;
  T score_threshold;

  HARNESS_HOST_DEVICE Class<T, Scalar> operator[](int64_t index) const {
    const int64_t image = index / classes, own = index - image * classes;
    Corners<Scalar> boxes = corners;
    boxes.data += image * corners.group_stride;
    return {
        boxes, scores + image * image_stride + own * class_stride, box_stride,
        counts && counts[image] < size ? counts[image] : size, size, score_threshold};
  }
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
      if (!hit || !(score > T(0))) return score;  // exp is expensive
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
