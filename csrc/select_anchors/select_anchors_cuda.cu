// One launch with one block per image and level; kernel.h holds what a block does.
#include "../common/best_memory.h"
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::select_anchors {
namespace {

constexpr int kBlock = 1024;

template <typename Scalar>
__global__ void __launch_bounds__(kBlock) select(
    const __grid_constant__ Request<Scalar> asked, Result result, BestMemory::Plan plan) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int64_t group = blockIdx.x;
  const BestWorkspace work = plan.workspace(shared, group);
  select_of_level(Block(), work, asked, result, group / asked.count, group % asked.count);
}

std::tuple<Tensor, Tensor, Tensor> select_anchors_cuda(
    std::vector<Tensor> logits, std::vector<Tensor> deltas, const Tensor& anchors, int64_t limit,
    double max_log_ratio, int64_t height, int64_t width, double inside) {
  const Arguments arguments{logits, deltas, anchors, limit, max_log_ratio, height, width, inside};
  arguments.check();
  const torch::stable::accelerator::DeviceGuard guard(anchors.get_device_index());
  Outputs outputs(arguments);
  const int64_t blocks = arguments.images() * arguments.levels();
  if (blocks == 0) return {outputs.boxes, outputs.scores, outputs.counts};
  const Result result = outputs.result();
  const cudaStream_t stream = current_stream(anchors.get_device_index());
  dispatch_floating(logits[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto asked = arguments.template make_request<Scalar>();
    uint32_t largest = 0;
    for (int64_t k = 0; k < asked.count; ++k) largest = std::max(largest, asked.levels[k].size);
    const BestMemory memory(anchors, blocks, largest, asked.limit);
    const int64_t bytes = memory.reserve(select<Scalar>);
    select<Scalar><<<static_cast<unsigned>(blocks), kBlock, bytes, stream>>>(
        asked, result, memory.plan());
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {outputs.boxes, outputs.scores, outputs.counts};
}

}  // namespace
}  // namespace harness::select_anchors

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("select_anchors", TORCH_BOX(&harness::select_anchors::select_anchors_cuda));
}
