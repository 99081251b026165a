// Groups are independent: one thread takes whole groups. Only boxes with a score are looked at, so
// a class without candidates costs one pass over its scores.
#include "../common/columns.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <vector>

namespace harness::soft_nms {
namespace {

template <typename T>
struct Group {
  Columns<T> boxes;
  std::vector<T> scores, ious;

  void clear() {
    boxes.clear();
    scores.clear();
  }

  int64_t best() const {
    int64_t best = 0;
    for (int64_t i = 1; i < boxes.size(); ++i) {
      if (scores[i] > scores[best]) best = i;  // the first of equals stays
    }
    return best;
  }

  // Closes the gaps that dropped boxes leave; keeps the order, which decides between equals.
  void compact() {
    int64_t kept = 0;
    for (int64_t i = 0; i < boxes.size(); ++i) {
      if (!(scores[i] > T(0))) continue;
      if (kept != i) {
        boxes.move(i, kept);
        scores[kept] = scores[i];
      }
      ++kept;
    }
    boxes.source.resize(kept);
  }

  // Writes each box's final score; dropped boxes keep the zero that is there.
  template <typename Scalar>
  void run(const Decay<T>& decay, Scalar* result) {
    ious.resize(boxes.size());
    int64_t alive = boxes.size();
    while (alive > 0) {
      const int64_t taken = best();
      result[boxes.source[taken]] = static_cast<Scalar>(scores[taken]);
      const Box<T> box = boxes.box(taken);
      const T box_area = boxes.areas[taken];
      scores[taken] = T(0);
      boxes.ious(box, box_area, 0, ious.data());
      alive = 0;
      for (int64_t i = 0; i < boxes.size(); ++i) {
        scores[i] = decay(scores[i], ious[i]);
        alive += scores[i] > T(0);
      }
      if (alive < boxes.size() - boxes.size() / 8) compact();
    }
  }
};

template <typename Scalar>
void soft_nms(const Tensor& boxes, const Tensor& scores, const Rule& rule, Tensor& output) {
  using T = accumulate_t<Scalar>;
  const Scalar *corners = read<Scalar>(boxes), *values = read<Scalar>(scores);
  Scalar* result = write<Scalar>(output);
  const int64_t size = boxes.size(1);
  const Decay<T> decay(rule);

  torch::stable::parallel_for(0, boxes.size(0), 1, [&](int64_t begin, int64_t end) {
    Group<T> group;
    for (int64_t g = begin; g < end; ++g) {
      group.clear();
      for (int64_t i = g * size; i < (g + 1) * size; ++i) {
        const T score = static_cast<T>(values[i]);
        if (!(score > T(0))) continue;
        group.boxes.push(load_box<T>(corners + i * 4), i - g * size);
        group.scores.push_back(score);
      }
      group.run(decay, result + g * size);
    }
  });
}

Tensor soft_nms_padded_cpu(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    std::string method, double sigma) {
  const Rule rule = make_rule(boxes, scores, iou_threshold, min_score, method, sigma);
  const Tensor corners = torch::stable::contiguous(boxes);
  const Tensor values = torch::stable::contiguous(scores);
  Tensor output = torch::stable::new_zeros(values, values.sizes());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    soft_nms<typename decltype(type)::type>(corners, values, rule, output);
  });
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cpu));
}
