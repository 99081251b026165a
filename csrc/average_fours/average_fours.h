// Means of 2x2 neighbours with stride 1, of maps whose channels lie side by side; shared by the CPU and
// the CUDA kernel. Without a frame of zeros around the maps they shrink by one row and column, with
// one they grow: each is the other's gradient.
#pragma once

#include "../common/tensors.h"

namespace harness::average_fours {

template <typename Scalar>
struct Job {
  const Scalar* maps;
  int64_t image_stride, row_stride, column_stride;
  int64_t height, width;  // of the maps
  Scalar* result;         // (images, rows, columns, channels)
  int64_t images, rows, columns, channels;
  int64_t before;  // rows and columns of zeros before the first

  HARNESS_HOST_DEVICE int64_t cells() const { return images * rows * columns; }
};

template <typename Scalar, int kCount>
struct alignas(kCount * sizeof(Scalar)) Channels {
  Scalar values[kCount];
};

// `kCount` channels of one cell of the result, from `channel` on. The sum is in torch's order.
template <int kCount, typename Scalar>
HARNESS_HOST_DEVICE void average(
    const Job<Scalar>& job, int64_t image, int64_t y, int64_t x, int64_t channel) {
  using Some = Channels<Scalar, kCount>;
  using T = accumulate_t<Scalar>;
  T sums[kCount] = {};
  HARNESS_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int64_t row = y + i / 2 - job.before, column = x + i % 2 - job.before;
    if (row < 0 || row >= job.height || column < 0 || column >= job.width) continue;
    const Scalar* place = job.maps + image * job.image_stride + row * job.row_stride +
        column * job.column_stride + channel;
    const Some some = *reinterpret_cast<const Some*>(place);
    HARNESS_UNROLL
    for (int k = 0; k < kCount; ++k) sums[k] += static_cast<T>(some.values[k]);
  }
  Some means;
  HARNESS_UNROLL
  for (int k = 0; k < kCount; ++k) means.values[k] = static_cast<Scalar>(sums[k] * T(0.25));
  const int64_t cell = (image * job.rows + y) * job.columns + x;
  *reinterpret_cast<Some*>(job.result + cell * job.channels + channel) = means;
}

inline void check(const Tensor& maps, bool framed) {
  STD_TORCH_CHECK(
      maps.dim() == 4 && (maps.stride(1) == 1 || maps.size(1) == 1),
      "average_fours: maps must be (B, C, H, W) with their channels side by side");
  STD_TORCH_CHECK(
      framed || (maps.size(2) > 1 && maps.size(3) > 1),
      "average_fours: maps must have two rows and columns, or a frame");
}

// (B, rows, columns, C).
inline Tensor make_cells(const Tensor& maps, bool framed) {
  const int64_t more = framed ? 1 : -1;
  return torch::stable::new_empty(
      maps, {maps.size(0), maps.size(2) + more, maps.size(3) + more, maps.size(1)});
}

template <typename Scalar>
Job<Scalar> make_job(const Tensor& maps, Tensor& cells, bool framed) {
  return {
      read<Scalar>(maps), maps.stride(0),  maps.stride(2), maps.stride(3), maps.size(2),
      maps.size(3),       write<Scalar>(cells), cells.size(0),  cells.size(1),  cells.size(2),
      cells.size(3),      framed ? 1 : 0};
}

// Cells as maps (B, C, rows, columns), channels last.
inline Tensor as_maps(const Tensor& cells) {
  return torch::stable::transpose(torch::stable::transpose(cells, 1, 3), 2, 3);
}

}  // namespace harness::average_fours
