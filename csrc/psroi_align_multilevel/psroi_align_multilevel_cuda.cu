// Without sorting boxes and without the host knowing how many boxes each map has. A block takes one box
// (kernel.h) or, where images have many, one channel of all boxes of an image (planes.h).
//
// Backward adds with atomics: boxes overlap. Each sum is right but its order, and so its last bits,
// vary from run to run; under deterministic algorithms the Python side takes the reference's.
#include "../common/cuda.h"
#include "arguments.h"
#include "kernel.h"
#include "planes.h"

#include <torch/csrc/stable/library.h>

namespace harness::psroi {
namespace {

constexpr int64_t kTableBytes = 32768;  // of shared memory; beyond it reads are placed cell by cell

template <typename T>
int64_t table_bytes(const Shape& shape) {
  const int64_t bytes = table_size(shape) * static_cast<int64_t>(sizeof(Read<T>));
  return bytes <= kTableBytes ? bytes : 0;
}

template <int kRatio, typename Scalar, typename T>
__global__ void __launch_bounds__(kThreads) forward(
    const __grid_constant__ Launch<T> launch, const __grid_constant__ Maps<const Scalar> maps,
    const T* boxes, Scalar* output, int32_t* argmax) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* table = reinterpret_cast<Read<T>*>(shared);
  pool_box<kRatio>(Block(), launch, maps, boxes, blockIdx.x, table, output, argmax);
}

template <int kRatio, typename Scalar, typename T>
__global__ void __launch_bounds__(kThreads) backward(
    const __grid_constant__ Launch<T> launch, const __grid_constant__ Maps<T> maps,
    const Scalar* gradients, const T* boxes, const int32_t* argmax) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* table = reinterpret_cast<Read<T>*>(shared);
  scatter_box<kRatio>(Block(), launch, maps, gradients, boxes, blockIdx.x, argmax, table);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) note_boxes(
    const __grid_constant__ Pyramid<T> pyramid, const T* boxes, Notes<T> notes) {
  const uint32_t n = blockIdx.x * blockDim.x + threadIdx.x;
  if (n < notes.boxes) take_note(pyramid, boxes, n, blockIdx.y, notes);
}

template <int kRatio, typename Scalar, typename T>
__global__ void __launch_bounds__(kThreads) forward_planes(
    const __grid_constant__ Pyramid<T> pyramid, const __grid_constant__ Stack stack,
    Notes<T> notes, const __grid_constant__ Maps<const Scalar> maps, Scalar* output,
    int32_t* argmax) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* planes = reinterpret_cast<Scalar*>(shared);
  pool_planes<kRatio>(
      Block(), pyramid, stack, notes, maps, blockIdx.x, planes, output, argmax);
}

template <int kRatio, typename Scalar, typename T>
__global__ void __launch_bounds__(kThreads) backward_planes(
    const __grid_constant__ Pyramid<T> pyramid, const __grid_constant__ Stack stack,
    Notes<T> notes, const __grid_constant__ Maps<T> maps, const Scalar* gradients,
    const int32_t* argmax) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* planes = reinterpret_cast<T*>(shared);
  scatter_planes<kRatio>(
      Block(), pyramid, stack, notes, maps, gradients, blockIdx.x, argmax, planes);
}

// Whether a channel's planes fit into shared memory, and points are where notes can be taken of them.
template <typename Scalar>
bool fit_planes(const Shape& shape, const Stack& stack, int32_t device) {
  return shape.sampling_ratio > 0 && table_size(shape) < (int64_t(1) << 16) &&
      static_cast<int64_t>(stack.cells) * static_cast<int64_t>(sizeof(Scalar)) <=
      most_shared_bytes(device);
}

bool have_planes(const std::vector<Tensor>& maps) {
  for (const Tensor& map : maps) {
    if (map.stride(3) != 1 || map.stride(2) != map.size(3)) return false;
  }
  return true;
}

// Whether reading all of the maps once costs less than the boxes' reads, which are of sectors of 32
// bytes with little use of each. There must be blocks enough to hide the first read.
bool are_many(const Shape& shape, const Stack& stack, int64_t image_boxes, int32_t device) {
  return image_boxes * 32 >= stack.cells &&
      shape.batch * shape.channels >= 8 * multiprocessors(device);
}

// Notes of all boxes, then `kernel`. The caching allocator does not reuse the memory of the notes
// on this stream before the kernel has run.
template <typename Kernel, typename T, typename... Arguments>
void launch_planes(
    Kernel* kernel, int64_t bytes, const Pyramid<T>& pyramid, const Stack& stack,
    const Tensor& corners, cudaStream_t stream, const Arguments&... arguments) {
  const Shape& shape = pyramid.shape();
  const int64_t blocks = shape.batch * shape.channels, reads = table_size(shape);
  const int64_t boxes = shape.batch * pyramid.image_boxes;
  if (blocks == 0) return;
  Tensor memory = torch::stable::new_empty(
      corners, {Notes<T>::bytes(boxes, reads)}, ScalarType::Byte);
  const Notes<T> notes(memory.mutable_data_ptr(), boxes, reads);
  if (boxes > 0) {
    const dim3 grid(
        static_cast<unsigned>((boxes + kThreads - 1) / kThreads), static_cast<unsigned>(reads));
    note_boxes<<<grid, kThreads, 0, stream>>>(pyramid, read<T>(corners), notes);
  }
  allow_shared_bytes(kernel, bytes);
  kernel<<<static_cast<unsigned>(blocks), kThreads, bytes, stream>>>(
      pyramid, stack, notes, arguments...);
}

std::tuple<Tensor, Tensor> psroi_align_multilevel_cuda(
    std::vector<Tensor> maps, const Tensor& boxes, std::vector<int64_t> strides,
    double finest_scale, bool inclusive, int64_t pooled_height, int64_t pooled_width,
    int64_t output_channels, int64_t sampling_ratio, std::string reduce) {
  STD_TORCH_CHECK(!maps.empty(), "psroi_align_multilevel: there are no maps");
  const Request asked{maps[0].size(1), read_sizes(maps), strides, finest_scale, inclusive,
                      pooled_height, pooled_width, output_channels, sampling_ratio, reduce};
  check_maps(maps, boxes);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const cudaStream_t stream = current_stream(boxes.get_device_index());
  const Tensor corners = torch::stable::contiguous(boxes);
  auto [output, argmax] = make_pooled(maps[0], boxes, asked);
  Tensor &pooled = output, &indices = argmax;
  dispatch_floating(maps[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const Pyramid<T> pyramid = make_pyramid<T>(asked, boxes);
    if (pooled.numel() == 0) return;
    int32_t* chosen = pyramid.shape().mean ? nullptr : write<int32_t>(indices);
    const int32_t device = boxes.get_device_index();
    const Stack stack(pyramid);
    if (have_planes(maps) && fit_planes<Scalar>(pyramid.shape(), stack, device) &&
        are_many(pyramid.shape(), stack, pyramid.image_boxes, device)) {
      launch_planes(
          sampling_ratio == 2 ? forward_planes<2, Scalar, T> : forward_planes<0, Scalar, T>,
          stack.cells * sizeof(Scalar), pyramid, stack, corners, stream, read_maps<Scalar>(maps),
          write<Scalar>(pooled), chosen);
      return;
    }
    const int64_t bytes = table_bytes<T>(pyramid.shape());
    const bool usual = bytes > 0 && sampling_ratio == 2;
    const auto kernel = usual ? forward<2, Scalar, T> : forward<0, Scalar, T>;
    kernel<<<static_cast<unsigned>(pooled.size(0)), kThreads, bytes, stream>>>(
        Launch<T>(pyramid, bytes > 0), read_maps<Scalar>(maps), read<T>(corners),
        write<Scalar>(pooled), chosen);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {output, argmax};
}

std::vector<Tensor> psroi_align_multilevel_backward_cuda(
    const Tensor& grad_output, const Tensor& boxes, const Tensor& argmax,
    std::vector<int64_t> map_sizes, std::vector<int64_t> strides, double finest_scale,
    bool inclusive, int64_t sampling_ratio, std::string reduce, bool channels_last) {
  const Request asked = make_backward_request(
      grad_output, map_sizes, strides, finest_scale, inclusive, sampling_ratio, reduce);
  check_rois(grad_output, boxes);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const cudaStream_t stream = current_stream(boxes.get_device_index());
  const Tensor gradients = torch::stable::contiguous(grad_output);
  const Tensor corners = torch::stable::contiguous(boxes);
  std::vector<Tensor> result;
  dispatch_floating(grad_output.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const Pyramid<T> pyramid = make_pyramid<T>(asked, boxes);
    const int32_t* chosen = pyramid.shape().mean ? nullptr : read<int32_t>(argmax);
    const Stack stack(pyramid);
    if (!channels_last && fit_planes<T>(pyramid.shape(), stack, boxes.get_device_index())) {
      result = make_planes(boxes, asked);
      launch_planes(
          sampling_ratio == 2 ? backward_planes<2, Scalar, T> : backward_planes<0, Scalar, T>,
          stack.cells * sizeof(T), pyramid, stack, corners, stream, write_maps<T>(result),
          read<Scalar>(gradients), chosen);
      return;
    }
    result = make_gradients(boxes, asked, channels_last);
    if (gradients.numel() == 0) return;
    const int64_t bytes = table_bytes<T>(pyramid.shape());
    const bool usual = bytes > 0 && sampling_ratio == 2;
    const auto kernel = usual ? backward<2, Scalar, T> : backward<0, Scalar, T>;
    kernel<<<static_cast<unsigned>(gradients.size(0)), kThreads, bytes, stream>>>(
        Launch<T>(pyramid, bytes > 0), write_maps<T>(result), read<Scalar>(gradients),
        read<T>(corners), chosen);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return result;
}

}  // namespace
}  // namespace harness::psroi

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("psroi_align_multilevel", TORCH_BOX(&harness::psroi::psroi_align_multilevel_cuda));
  m.impl(
      "psroi_align_multilevel_backward",
      TORCH_BOX(&harness::psroi::psroi_align_multilevel_backward_cuda));
}
