// One launch: a warp a group, or a block a group where shared memory does not hold its boxes.
// kernel.h holds what they do.
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::soft_nms {
namespace {

constexpr int64_t kSharedBytes = 49152;  // what every device gives a block without being asked

template <typename Scalar, typename T, typename Decay>
__global__ void __launch_bounds__(kWarp) soft_nms_in_shared(
    Corners<Scalar> corners, const Scalar* scores, int64_t size, Decay decay, Scalar* output) {
  extern __shared__ __align__(16) unsigned char memory[];
  const Candidates<T> candidates(memory, size);
  walk_in_shared<T>(Warp(), candidates, corners, scores, blockIdx.x, size, decay, output);
}

template <typename Scalar, typename T, typename Decay>
__global__ void __launch_bounds__(kThreads) soft_nms_in_global(
    Corners<Scalar> corners, const Scalar* scores, int64_t size, Decay decay, T* remaining,
    Scalar* output) {
  __shared__ Best<T> shared[kThreads / kWarp];
  walk_in_global<T>(
      Block(), shared, corners, scores, blockIdx.x, size, decay, remaining, output);
}

template <typename Scalar, typename T, typename Decay>
void launch(const Tensor& boxes, const Tensor& scores, const Decay& decay, Tensor& output) {
  const auto groups = static_cast<unsigned>(boxes.size(0));
  const int64_t size = boxes.size(1), bytes = size * Candidates<T>::kBytes;
  const cudaStream_t stream = current_stream(boxes.get_device_index());
  const auto corners = read_corners<Scalar>(boxes);
  const Scalar* values = read<Scalar>(scores);
  if (bytes <= kSharedBytes) {
    soft_nms_in_shared<Scalar, T><<<groups, kWarp, bytes, stream>>>(
        corners, values, size, decay, write<Scalar>(output));
    return;
  }
  Tensor remaining = torch::stable::new_empty(
      scores, scores.sizes(), accumulate_dtype(scores.scalar_type()));
  soft_nms_in_global<Scalar, T><<<groups, kThreads, 0, stream>>>(
      corners, values, size, decay, write<T>(remaining), write<Scalar>(output));
}

Tensor soft_nms_padded_cuda(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    std::string method, double sigma) {
  const Rule rule = make_rule(boxes, scores, iou_threshold, min_score, method, sigma);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const Tensor values = torch::stable::contiguous(scores);
  Tensor output = torch::stable::new_empty(values, values.sizes());
  if (output.numel() == 0) return output;
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    if (rule.gaussian) launch<Scalar, T>(boxes, values, Decay<T, true>(rule), output);
    else launch<Scalar, T>(boxes, values, Decay<T, false>(rule), output);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cuda));
}
