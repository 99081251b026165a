// Each thread takes one level of one image at a time.
#include "../common/best_of_list.h"
#include "../common/groups.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::select_anchors {
namespace {

constexpr int64_t kFewAnchors = 1024;  // waking threads costs more than these do

template <typename Scalar>
struct Walk {
  const Request<Scalar>& asked;
  const Result& result;
  BestOfList best = {};

  void operator()(int64_t group) {
    const int64_t image = group / asked.count, level = group % asked.count;
    rank(asked.levels[level], image);
    best.keep_best(asked.limit);
    const auto count = static_cast<uint32_t>(best.size());
    for (uint32_t k = 0; k < count; ++k) {
      write_row(asked, result, image, level, k, best[k].index, best[k].score());
    }
    for (uint32_t k = count; k < asked.width; ++k) write_padding(asked, result, image, level, k);
    result.counts[group] = count;
  }

 private:
  // All anchors of a level, in order, without computing each position from its index.
  void rank(const Maps<Scalar>& maps, int64_t image) {
    best.start(maps.size);
    const uint32_t anchors = maps.per_cell.divisor, columns = maps.columns.divisor;
    const int64_t* step = maps.logit_strides;
    const Scalar* row = maps.logits + image * step[0];
    for (uint32_t first = 0; first < maps.size; first += anchors * columns, row += step[2]) {
      const Scalar* cell = row;
      uint32_t i = first;
      for (uint32_t column = 0; column < columns; ++column, cell += step[3]) {
        for (uint32_t a = 0; a < anchors; ++a, ++i) {
          best.push(ranking_key(static_cast<float>(cell[a * step[1]])), i);
        }
      }
    }
  }
};

std::tuple<Tensor, Tensor, Tensor> select_anchors_cpu(
    std::vector<Tensor> logits, std::vector<Tensor> deltas, const Tensor& anchors, int64_t limit,
    double max_log_ratio, int64_t height, int64_t width, double inside) {
  const Arguments arguments{logits, deltas, anchors, limit, max_log_ratio, height, width, inside};
  arguments.check();
  Outputs outputs(arguments);
  const Result result = outputs.result();
  dispatch_floating(logits[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto asked = arguments.template make_request<Scalar>();
    const bool in_parallel = arguments.images() * anchors.size(0) > kFewAnchors;
    for_each_group(arguments.images() * asked.count, in_parallel, [&] {
      return Walk<Scalar>{asked, result};
    });
  });
  return {outputs.boxes, outputs.scores, outputs.counts};
}

}  // namespace
}  // namespace harness::select_anchors

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("select_anchors", TORCH_BOX(&harness::select_anchors::select_anchors_cpu));
}
