// Boxes are xyxy with exclusive corners: area is width times height.
#pragma once

#include "host_device.h"

namespace harness {

template <typename T>
struct Box {
  T x1, y1, x2, y2;
};

template <typename T>
HARNESS_HOST_DEVICE T area(const Box<T>& box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

// 0/0 and arithmetic on non-finite corners give NaN, which exceeds no threshold.
template <typename T>
HARNESS_HOST_DEVICE T iou(const Box<T>& a, T area_a, const Box<T>& b, T area_b) {
  const T left = a.x1 > b.x1 ? a.x1 : b.x1;
  const T top = a.y1 > b.y1 ? a.y1 : b.y1;
  const T right = a.x2 < b.x2 ? a.x2 : b.x2;
  const T bottom = a.y2 < b.y2 ? a.y2 : b.y2;
  const T width = right > left ? right - left : T(0);
  const T height = bottom > top ? bottom - top : T(0);
  const T overlap = width * height;
  return overlap / (area_a + area_b - overlap);
}

}  // namespace harness
