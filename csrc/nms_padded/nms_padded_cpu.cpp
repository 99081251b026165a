// Groups are independent: one thread takes whole groups, so the result does not depend on threads.
#include "../common/columns.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <vector>

namespace harness::nms {
namespace {

// `kept` starts as all ones, one flag for each box of the group.
template <typename T>
void suppress(const Columns<T>& boxes, T threshold, std::vector<T>& ious, std::vector<char>& kept) {
  const int64_t count = boxes.size();
  for (int64_t i = 0; i < count; ++i) {
    if (!kept[i]) continue;
    boxes.ious(boxes.box(i), boxes.areas[i], i + 1, ious.data());
    for (int64_t j = i + 1; j < count; ++j) kept[j] &= !(ious[j] > threshold);
  }
}

template <typename Scalar>
void nms(const Tensor& boxes, const Tensor& valid, double threshold, Tensor& keep) {
  using T = accumulate_t<Scalar>;
  const Scalar* corners = read<Scalar>(boxes);
  const bool* present = read<bool>(valid);
  bool* result = write<bool>(keep);
  const int64_t size = boxes.size(1);

  torch::stable::parallel_for(0, boxes.size(0), 1, [&](int64_t begin, int64_t end) {
    Columns<T> columns;
    std::vector<T> ious(size);
    std::vector<char> kept;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t offset = group * size;
      columns.clear();
      for (int64_t i = 0; i < size; ++i) {
        if (present[offset + i]) columns.push(load_box<T>(corners + (offset + i) * 4), i);
      }
      kept.assign(columns.size(), 1);
      suppress(columns, static_cast<T>(threshold), ious, kept);
      for (int64_t i = 0; i < columns.size(); ++i) {
        result[offset + columns.source[i]] = kept[i] != 0;
      }
    }
  });
}

Tensor nms_padded_cpu(const Tensor& boxes, const Tensor& valid, double iou_threshold) {
  check(boxes, valid);
  const Tensor corners = torch::stable::contiguous(boxes);
  const Tensor present = torch::stable::contiguous(valid);
  Tensor keep = torch::stable::new_zeros(present, present.sizes());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    nms<typename decltype(type)::type>(corners, present, iou_threshold, keep);
  });
  return keep;
}

}  // namespace
}  // namespace harness::nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("nms_padded", TORCH_BOX(&harness::nms::nms_padded_cpu));
}
