// One block a group. Box i is final once every kept box before it has been compared, so the block
// walks the boxes in order and compares a kept one with all later ones at once.
//
// No race: between two barriers the block writes only flags after i and reads only flags up to i,
// and a thread clears a flag that another may clear too, to the same value.
#include "../common/boxes.h"
#include "../common/cuda.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::nms {
namespace {

template <typename T, typename Scalar>
__device__ Box<T> load(const Scalar* corners) {
  return {T(corners[0]), T(corners[1]), T(corners[2]), T(corners[3])};
}

// `kept` starts as the valid flags.
template <typename Scalar>
__global__ void nms(const Scalar* boxes, int64_t size, accumulate_t<Scalar> threshold, bool* kept) {
  using T = accumulate_t<Scalar>;
  const Scalar* corners = boxes + int64_t(blockIdx.x) * size * 4;
  volatile bool* flags = kept + int64_t(blockIdx.x) * size;
  for (int64_t i = 0; i < size; ++i) {
    if (!flags[i]) continue;  // the same for the whole block
    const Box<T> box = load<T>(corners + i * 4);
    const T box_area = area(box);
    for (int64_t j = i + 1 + threadIdx.x; j < size; j += blockDim.x) {
      if (!flags[j]) continue;
      const Box<T> other = load<T>(corners + j * 4);
      if (iou(box, box_area, other, area(other)) > threshold) flags[j] = false;
    }
    __syncthreads();
  }
}

Tensor nms_padded_cuda(const Tensor& boxes, const Tensor& valid, double iou_threshold) {
  check(boxes, valid);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const Tensor corners = torch::stable::contiguous(boxes);
  Tensor keep = torch::stable::clone(torch::stable::contiguous(valid));
  if (keep.numel() == 0) return keep;
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    nms<Scalar><<<boxes.size(0), kThreads, 0, current_stream(boxes.get_device_index())>>>(
        read<Scalar>(corners), boxes.size(1), static_cast<accumulate_t<Scalar>>(iou_threshold),
        write<bool>(keep));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return keep;
}

}  // namespace
}  // namespace harness::nms

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("nms_padded", TORCH_BOX(&harness::nms::nms_padded_cuda));
}
