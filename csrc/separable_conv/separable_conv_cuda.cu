// One launch for all maps and images; kernel.h holds what a block does.
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"

#include <torch/csrc/stable/library.h>

namespace harness::separable {
namespace {

constexpr int64_t kBusyBlocks = 8;  // per multiprocessor

template <int kCells, typename Scalar, typename T>
__global__ void __launch_bounds__(kThreads)
    convolve(const __grid_constant__ Job<Scalar, T> job, Scalar* output) {
  extern __shared__ __align__(16) unsigned char shared[];
  convolve_tile<kCells>(
      Block(), job, static_cast<int64_t>(blockIdx.x), reinterpret_cast<Quad<T>*>(shared), output);
}

template <int kCells, typename Scalar, typename T>
void launch(const Job<Scalar, T>& job, int32_t device, cudaStream_t stream, Scalar* output) {
  const int64_t bytes = shared_bytes<kCells, T>(job.channels);
  STD_TORCH_CHECK(
      bytes <= most_shared_bytes(device),
      "separable_conv: too many channels for this GPU's shared memory");
  allow_shared_bytes(convolve<kCells, Scalar, T>, bytes);
  const int64_t blocks = job.images * job.tiles(kCells);
  STD_TORCH_CHECK(blocks < (int64_t(1) << 31), "separable_conv: too many cells for one launch");
  if (blocks == 0) return;
  convolve<kCells, Scalar, T>
      <<<static_cast<unsigned>(blocks), kThreads, bytes, stream>>>(job, output);
}

Tensor separable_conv_cuda(
    std::vector<Tensor> maps, Weights depthwise, Weights depthwise_bias, Weights pointwise,
    Weights pointwise_bias, int64_t out_channels, bool relu) {
  const Arguments given{
      maps, depthwise, depthwise_bias, pointwise, pointwise_bias, out_channels, relu};
  given.check();
  const torch::stable::accelerator::DeviceGuard guard(maps[0].get_device_index());
  const cudaStream_t stream = current_stream(maps[0].get_device_index());
  Tensor rows = given.make_rows();
  dispatch_floating(maps[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const auto job = given.make_job<Scalar>();
    const int32_t device = maps[0].get_device_index();
    // Large tiles read each weight less often; small ones are done sooner where there are few.
    const bool few = job.images * job.tiles() < kBusyBlocks * multiprocessors(device);
    if (few) launch<kSmallTile>(job, device, stream, write<Scalar>(rows));
    else launch<kTile>(job, device, stream, write<Scalar>(rows));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return rows;
}

}  // namespace
}  // namespace harness::separable

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("separable_conv", TORCH_BOX(&harness::separable::separable_conv_cuda));
}
