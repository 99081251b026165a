// One launch, one block a box: the block finds the level and places the reads in shared memory once,
// then each thread takes elements of the output. Neighbouring threads are neighbouring cells, so
// output and argmax are written in order, and maps in channels-last are read in order too.
//
// Backward adds with atomics: boxes overlap. Each sum is right but its order, and so its last bits,
// vary from run to run; under deterministic algorithms the Python side takes the reference's.
#include "../common/cuda.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::psroi {
namespace {

constexpr int64_t kTableBytes = 32768;  // of shared memory; beyond it reads are placed cell by cell

template <typename T>
int64_t table_bytes(const Shape& shape) {
  const int64_t bytes = table_size(shape) * static_cast<int64_t>(sizeof(Read<T>));
  return bytes <= kTableBytes ? bytes : 0;
}

// f(element, cell, reads) for the output elements of a box that has a level. The whole block calls.
template <typename T, typename F>
__device__ void visit_elements(
    const Placed<T>& roi, const Level<T>& level, bool tabled, Read<T>* table, const F& f) {
  const Shape& shape = level.shape;
  if (tabled) {
    const int64_t reads = table_size(shape);
    for (int64_t k = threadIdx.x; k < reads; k += blockDim.x) {
      table[k] = make_table_read(roi, level, k);
    }
    __syncthreads();
  }
  const int cells = static_cast<int>(shape.pooled_height * shape.pooled_width);
  const int columns = static_cast<int>(shape.pooled_width);
  for (int e = threadIdx.x; e < shape.channels; e += blockDim.x) {
    const int row = e % cells / columns, column = e % cells % columns;
    if (tabled) {
      f(e, make_table_cell<T>(shape), TableReads<T>(table, 1, row, column, shape));
    } else {
      Cell<T> cell;
      make_axes(roi.span, level.scale, row, column, shape, cell);
      f(e, cell, CellReads<T>{cell, shape});
    }
  }
}

template <typename Scalar, typename T>
__global__ void forward(
    const __grid_constant__ Pyramid<T> pyramid, const __grid_constant__ Maps<const Scalar> maps,
    const T* boxes, bool tabled, Scalar* output, int32_t* argmax) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int64_t n = blockIdx.x, channels = pyramid.levels[0].shape.channels;
  const Placed<T> roi = place(pyramid, boxes, n);
  const auto store = [&](int64_t element, const Maximum<T>& pooled) {
    output[n * channels + element] = static_cast<Scalar>(pooled.value);
    if (argmax) argmax[n * channels + element] = static_cast<int32_t>(pooled.index);
  };
  if (roi.level < 0) {
    for (int64_t e = threadIdx.x; e < channels; e += blockDim.x) store(e, Maximum<T>());
    return;
  }
  const auto pool_element = [&](int64_t element, const Cell<T>& cell, const auto& reads) {
    Maximum<T> pooled;
    const auto planes = maps.planes(roi.level, roi.image, element, 1, 0);
    pool(planes, cell, reads, argmax == nullptr, &pooled);
    store(element, pooled);
  };
  visit_elements(
      roi, pyramid.levels[roi.level], tabled, reinterpret_cast<Read<T>*>(shared), pool_element);
}

template <typename Scalar, typename T>
__global__ void backward(
    const __grid_constant__ Pyramid<T> pyramid, const __grid_constant__ Maps<T> maps,
    const Scalar* gradients, const T* boxes, const int32_t* argmax, bool tabled) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int64_t n = blockIdx.x, channels = pyramid.levels[0].shape.channels;
  const Placed<T> roi = place(pyramid, boxes, n);
  if (roi.level < 0) return;
  const int64_t row_stride = maps.strides[roi.level][2], stride = maps.strides[roi.level][3];
  const auto scatter = [&](int64_t element, const Cell<T>& cell, const auto& reads) {
    T* plane = maps.plane(roi.level, roi.image, element);
    const auto add = [&](int64_t row, int64_t column, T gradient) {
      atomicAdd(plane + row * row_stride + column * stride, gradient);
    };
    const int64_t at = n * channels + element;
    const T gradient = static_cast<T>(gradients[at]);
    if (argmax) scatter_maximum(cell, reads, argmax[at], gradient, add);
    else scatter_mean(cell, reads, gradient, add);
  };
  visit_elements(
      roi, pyramid.levels[roi.level], tabled, reinterpret_cast<Read<T>*>(shared), scatter);
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
    const int64_t bytes = table_bytes<T>(pyramid.shape());
    forward<Scalar, T><<<static_cast<unsigned>(pooled.size(0)), kThreads, bytes, stream>>>(
        pyramid, read_maps<Scalar>(maps), read<T>(corners), bytes > 0, write<Scalar>(pooled),
        pyramid.shape().mean ? nullptr : write<int32_t>(indices));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {output, argmax};
}

std::vector<Tensor> psroi_align_multilevel_backward_cuda(
    const Tensor& grad_output, const Tensor& boxes, const Tensor& argmax,
    std::vector<int64_t> map_sizes, std::vector<int64_t> strides, double finest_scale,
    bool inclusive, int64_t sampling_ratio, std::string reduce) {
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
    result = make_gradients(boxes, asked);
    if (gradients.numel() == 0) return;
    const int64_t bytes = table_bytes<T>(pyramid.shape());
    backward<Scalar, T><<<static_cast<unsigned>(gradients.size(0)), kThreads, bytes, stream>>>(
        pyramid, write_maps<T>(result), read<Scalar>(gradients), read<T>(corners),
        pyramid.shape().mean ? nullptr : read<int32_t>(argmax), bytes > 0);
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
