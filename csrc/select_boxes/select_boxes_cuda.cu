// One launch with one block per image; kernel.h holds what a block does.
#include "../common/best_memory.h"
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::select_boxes {
namespace {

constexpr int kBlock = 1024;

template <typename Scalar>
__global__ void __launch_bounds__(kBlock) select(
    const __grid_constant__ Request<Scalar> asked, Result<Scalar> result, BestMemory::Plan plan) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int64_t image = blockIdx.x;
  const BestWorkspace work = plan.workspace(shared, image);
  select_of_image(Block(), work, asked, result, image);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> select_boxes_cuda(
    const Tensor& boxes, const Tensor& scores, std::optional<Tensor> kept,
    std::optional<Tensor> counts, int64_t limit, double score_threshold) {
  const torch::stable::accelerator::DeviceGuard guard(scores.get_device_index());
  const Arguments arguments(boxes, scores, kept, counts, limit, score_threshold);
  Outputs outputs(arguments);
  const int64_t images = arguments.images();
  if (images == 0) return outputs.all();
  const cudaStream_t stream = current_stream(scores.get_device_index());
  dispatch_scores(scores.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto asked = arguments.template make_request<Scalar>();
    const BestMemory memory(scores, images, arguments.candidates(), asked.limit);
    const int64_t bytes = memory.reserve(select<Scalar>);
    select<Scalar><<<static_cast<unsigned>(images), kBlock, bytes, stream>>>(
        asked, outputs.template result<Scalar>(), memory.plan());
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return outputs.all();
}

}  // namespace
}  // namespace harness::select_boxes

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("select_boxes", TORCH_BOX(&harness::select_boxes::select_boxes_cuda));
}
