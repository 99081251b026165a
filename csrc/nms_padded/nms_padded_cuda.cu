// One launch, one block per group; kernel.h holds what a block does.
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::nms {
namespace {

constexpr int kBlock = kMostSlices * kChunk;

template <typename Scalar, typename T>
__global__ void __launch_bounds__(kBlock) nms(
    Corners<Scalar> corners, Present present, T threshold, int64_t max_output, int64_t* indices,
    int64_t* counts) {
  __shared__ Workspace<T> shared;
  walk_group<T>(
      Block(), shared, corners, present, blockIdx.x, threshold, max_output, indices, counts);
}

std::tuple<Tensor, Tensor> nms_padded_cuda(
    const Tensor& boxes, const Tensor& valid, double iou_threshold, int64_t max_output) {
  check(boxes, valid, max_output);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const Tensor flags = torch::stable::contiguous(valid);
  auto [indices, counts] = make_results(boxes, max_output);
  if (boxes.size(0) == 0) return {indices, counts};
  int64_t *kept = write<int64_t>(indices), *totals = write<int64_t>(counts);
  const cudaStream_t stream = current_stream(boxes.get_device_index());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    nms<Scalar, T><<<static_cast<unsigned>(boxes.size(0)), kBlock, 0, stream>>>(
        read_corners<Scalar>(boxes), read_present(flags, boxes.size(1)),
        static_cast<T>(iou_threshold), max_output, kept, totals);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {indices, counts};
}

}  // namespace
}  // namespace harness::nms

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("nms_padded", TORCH_BOX(&harness::nms::nms_padded_cuda));
}
