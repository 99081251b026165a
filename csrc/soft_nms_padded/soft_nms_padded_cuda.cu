// One launch with one warp per image and class, or one block where the boxes do not fit into shared
// memory.
// kernel.h holds what they do.
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::soft_nms {
namespace {


template <typename Scalar, typename T, typename Decay>
__global__ void __launch_bounds__(kWarp) soft_nms_in_shared(
    Classes<T, Scalar> classes, Decay decay, Scalar* output) {
  extern __shared__ __align__(16) unsigned char memory[];
  const Candidates<T> candidates(memory, classes.size);
  walk_in_shared<T>(Warp(), candidates, classes, blockIdx.x, decay, output);
}

template <typename Scalar, typename T, typename Decay>
__global__ void __launch_bounds__(kThreads) soft_nms_in_global(
    Classes<T, Scalar> classes, Decay decay, T* remaining, Scalar* output) {
  __shared__ Best<T> shared[kThreads / kWarp];
  walk_in_global<T>(Block(), shared, classes, blockIdx.x, decay, remaining, output);
}

template <typename Scalar, typename T, typename Decay>
void launch(
    const Classes<T, Scalar>& classes, const Decay& decay, cudaStream_t stream, Tensor& output) {
  const auto groups = static_cast<unsigned>(output.size(0) * output.size(1));
  const int64_t bytes = classes.size * Candidates<T>::kBytes;
  if (bytes <= kUsualSharedBytes) {
    soft_nms_in_shared<Scalar, T>
        <<<groups, kWarp, bytes, stream>>>(classes, decay, write<Scalar>(output));
    return;
  }
  Tensor remaining = torch::stable::new_empty(
      output, output.sizes(), accumulate_dtype(output.scalar_type()));
  soft_nms_in_global<Scalar, T><<<groups, kThreads, 0, stream>>>(
      classes, decay, write<T>(remaining), write<Scalar>(output));
}

Tensor soft_nms_padded_cuda(
    const Tensor& boxes, const Tensor& scores, std::optional<Tensor> counts,
    double score_threshold, double iou_threshold, double min_score, std::string method,
    double sigma) {
  const Rule rule = make_rule(score_threshold, iou_threshold, min_score, method, sigma);
  check(boxes, scores, counts);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const std::optional<Tensor> present = in_order(counts);
  Tensor output = make_output(scores);
  if (output.numel() == 0) return output;
  const cudaStream_t stream = current_stream(boxes.get_device_index());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const auto classes = read_classes<T, Scalar>(boxes, scores, present, rule);
    if (rule.gaussian) launch<Scalar, T>(classes, Decay<T, true>(rule), stream, output);
    else launch<Scalar, T>(classes, Decay<T, false>(rule), stream, output);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cuda));
}
