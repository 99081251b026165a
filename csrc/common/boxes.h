// Boxes are xyxy with exclusive corners: area is width times height.
#pragma once

#include "host_device.h"

#include <cstdint>

namespace harness {

template <typename T>
struct Box {
  T x1, y1, x2, y2;
};

template <typename T>
HARNESS_HOST_DEVICE T area(const Box<T>& box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

template <typename T>
struct Overlap {
  T shared, united;

  // 0/0 and arithmetic on non-finite corners give NaN, which exceeds no threshold.
  HARNESS_HOST_DEVICE T iou() const { return shared / united; }

  // Whether the IoU may exceed a threshold, without dividing: never false where it does, seldom true
  // where it does not. With a threshold of 0 or more shared / united > threshold means that
  // shared > threshold * united, and rounding the product does not reverse that.
  HARNESS_HOST_DEVICE bool may_exceed(T threshold) const {
    // without a branch, so that loops over boxes vectorise
    return ((shared > T(0)) & (shared >= threshold * united)) | (threshold < T(0));
  }
  HARNESS_HOST_DEVICE bool exceeds(T threshold) const {
    return may_exceed(threshold) && iou() > threshold;
  }
};

template <typename T>
HARNESS_HOST_DEVICE Overlap<T> overlap(
    const Box<T>& a, T area_a, const Box<T>& b, T area_b) {
  const T left = a.x1 > b.x1 ? a.x1 : b.x1;
  const T top = a.y1 > b.y1 ? a.y1 : b.y1;
  const T right = a.x2 < b.x2 ? a.x2 : b.x2;
  const T bottom = a.y2 < b.y2 ? a.y2 : b.y2;
  const T width = right - left, height = bottom - top;
  const T shared = (width > T(0) ? width : T(0)) * (height > T(0) ? height : T(0));
  return {shared, area_a + area_b - shared};
}

template <typename T>
HARNESS_HOST_DEVICE T iou(const Box<T>& a, T area_a, const Box<T>& b, T area_b) {
  return overlap(a, area_a, b, area_b).iou();
}

// Boxes of padded groups in whatever memory format they have.
template <typename Scalar>
struct Corners {
  const Scalar* data;
  int64_t group_stride, box_stride, corner_stride;

  template <typename T>
  HARNESS_HOST_DEVICE Box<T> load(int64_t group, int64_t i) const {
    const Scalar* box = data + group * group_stride + i * box_stride;
    return {
        static_cast<T>(box[0]), static_cast<T>(box[corner_stride]),
        static_cast<T>(box[2 * corner_stride]), static_cast<T>(box[3 * corner_stride])};
  }
};

}  // namespace harness
