// A thread takes some neighbouring channels of one cell; neighbouring threads take the next ones.
#include "../common/cuda.h"
#include "average_fours.h"

#include <torch/csrc/stable/library.h>

namespace harness::average_fours {
namespace {

constexpr int kBytes = 16;  // that a thread reads at once

template <int kCount, typename Scalar>
__global__ void __launch_bounds__(kThreads) average_all(const __grid_constant__ Job<Scalar> job) {
  const auto groups = static_cast<uint32_t>(job.channels / kCount);
  const auto columns = static_cast<uint32_t>(job.columns);
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= columns * groups) return;
  average<kCount>(job, blockIdx.z, blockIdx.y, i / groups, i % groups * kCount);
}

template <int kCount, typename Scalar>
void launch(const Job<Scalar>& job, cudaStream_t stream) {
  const int64_t row = job.columns * (job.channels / kCount);
  STD_TORCH_CHECK(
      row < (int64_t(1) << 31) && job.rows < 65536 && job.images < 65536,
      "average_fours: maps are too large for one launch");
  const dim3 grid(
      static_cast<unsigned>((row + kThreads - 1) / kThreads), static_cast<unsigned>(job.rows),
      static_cast<unsigned>(job.images));
  if (job.cells() * job.channels == 0) return;
  average_all<kCount><<<grid, kThreads, 0, stream>>>(job);
}

template <int kCount, typename Scalar>
bool fits(const Job<Scalar>& job) {
  const int64_t strides = job.image_stride | job.row_stride | job.column_stride | job.channels;
  return strides % kCount == 0 && reinterpret_cast<uintptr_t>(job.maps) % kBytes == 0;
}

Tensor average_fours_cuda(const Tensor& maps, bool framed) {
  check(maps, framed);
  const torch::stable::accelerator::DeviceGuard guard(maps.get_device_index());
  const cudaStream_t stream = current_stream(maps.get_device_index());
  Tensor cells = make_cells(maps, framed);
  dispatch_floating(maps.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    constexpr int kCount = kBytes / sizeof(Scalar);
    const auto job = make_job<Scalar>(maps, cells, framed);
    if (fits<kCount>(job)) launch<kCount>(job, stream);
    else launch<1>(job, stream);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return as_maps(cells);
}

}  // namespace
}  // namespace harness::average_fours

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("average_fours", TORCH_BOX(&harness::average_fours::average_fours_cuda));
}
