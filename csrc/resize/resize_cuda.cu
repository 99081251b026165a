// One launch per image; the threads of a block write neighbouring pixels of one row.
#include "../common/cuda.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>

namespace harness::resize {
namespace {

constexpr int kBlock = 128;
constexpr int64_t kMostBlocks = 65535;  // of a grid's second and third side

__global__ void __launch_bounds__(kBlock) resize(Job job) {
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t row = blockIdx.y; row < job.rows.to; row += gridDim.y) {
    resize_row(job, row, first, step);
  }
}

Tensor resize_bilinear_cuda(const Tensor& image, int64_t height, int64_t width, bool interleaved) {
  check(image, height, width);
  const torch::stable::accelerator::DeviceGuard guard(image.get_device_index());
  Tensor result = make_result(image, height, width, interleaved);
  const dim3 grid(
      static_cast<unsigned>(std::min((width + kBlock - 1) / kBlock, kMostBlocks)),
      static_cast<unsigned>(std::min(height, kMostBlocks)));
  resize<<<grid, kBlock, 0, current_stream(image.get_device_index())>>>(make_job(image, result));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return result;
}

}  // namespace
}  // namespace harness::resize

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("resize_bilinear", TORCH_BOX(&harness::resize::resize_bilinear_cuda));
}
