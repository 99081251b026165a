// One thread per image.
#include "../common/best_of_list.h"
#include "../common/groups.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::select_boxes {
namespace {

constexpr int64_t kFewBoxes = 4096;  // waking threads costs more than these do

template <typename Scalar>
struct Walk {
  const Request<Scalar>& asked;
  const Result<Scalar>& result;
  BestOfList best = {};

  void operator()(int64_t image) {
    best.start(asked.size());
    for (int64_t group = 0; group < asked.groups; ++group) rank(image, group);
    best.keep_best(asked.limit);
    const auto count = static_cast<uint32_t>(best.size());
    for (uint32_t k = 0; k < count; ++k) {
      write_row(asked, result, image, k, best[k].index, best[k].score());
    }
    for (uint32_t k = count; k < asked.limit; ++k) write_padding(asked, result, image, k);
    result.counts[image] = count;
  }

 private:
  void rank(int64_t image, int64_t group) {
    const int64_t place = image * asked.groups + group;
    const auto first = static_cast<uint32_t>(group) * asked.group_size;
    const int64_t* step = asked.score_strides;
    const Scalar* scores = asked.scores + image * step[0] + group * step[1];
    const int64_t size = asked.group_size;
    const int64_t count = asked.kept ? std::min<int64_t>(asked.counts[place], size) : size;
    const int64_t* rows = asked.kept ? asked.kept + place * asked.group_size : nullptr;
    for (int64_t i = 0; i < count; ++i) {
      const auto score = static_cast<float>(scores[(rows ? rows[i] : i) * step[2]]);
      // a branch: most of the classes' scores are nothing
      if (score > asked.score_threshold) best.push(ranking_key(score), first + static_cast<uint32_t>(i));
    }
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor> select_boxes_cpu(
    const Tensor& boxes, const Tensor& scores, std::optional<Tensor> kept,
    std::optional<Tensor> counts, int64_t limit, double score_threshold) {
  const Arguments arguments(boxes, scores, kept, counts, limit, score_threshold);
  Outputs outputs(arguments);
  dispatch_scores(scores.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto asked = arguments.template make_request<Scalar>();
    const auto result = outputs.template result<Scalar>();
    const bool in_parallel = arguments.images() * arguments.candidates() > kFewBoxes;
    for_each_group(arguments.images(), in_parallel, [&] { return Walk<Scalar>{asked, result}; });
  });
  return outputs.all();
}

}  // namespace
}  // namespace harness::select_boxes

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("select_boxes", TORCH_BOX(&harness::select_boxes::select_boxes_cpu));
}
