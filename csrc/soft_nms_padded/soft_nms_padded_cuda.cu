// One block a group: find the best remaining score together, take it, decay the rest, repeat. A
// thread reads and writes only its own scores between barriers, so there is no race, and the choice
// between equal scores is by position, so the result is deterministic.
#include "../common/boxes.h"
#include "../common/cuda.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::soft_nms {
namespace {

constexpr int kWarp = 32;

template <typename T, typename Scalar>
__device__ Box<T> load(const Scalar* corners) {
  return {T(corners[0]), T(corners[1]), T(corners[2]), T(corners[3])};
}

template <typename T>
struct Candidate {
  T score;
  int64_t index;

  __device__ void keep_better(T other_score, int64_t other_index) {
    if (other_score > score || (other_score == score && other_index < index)) {
      score = other_score;
      index = other_index;
    }
  }

  __device__ void reduce_warp() {
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const T other_score = __shfl_xor_sync(0xffffffffu, score, offset);
      const long long other_index =
          __shfl_xor_sync(0xffffffffu, static_cast<long long>(index), offset);
      keep_better(other_score, other_index);
    }
  }
};

// The best of the whole block, known to every thread. `shared` holds one candidate a warp.
template <typename T>
__device__ Candidate<T> reduce_block(Candidate<T> best, Candidate<T>* shared) {
  best.reduce_warp();
  __syncthreads();  // the candidates of the last round have been read
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = best;
  __syncthreads();
  for (int warp = 0; warp < kThreads / kWarp; ++warp) {
    best.keep_better(shared[warp].score, shared[warp].index);
  }
  return best;
}

template <typename Scalar, typename Decay>
__global__ void soft_nms(
    const Scalar* boxes, int64_t size, Decay decay,
    accumulate_t<Scalar>* remaining, Scalar* output) {
  using T = accumulate_t<Scalar>;
  __shared__ Candidate<T> shared[kThreads / kWarp];
  const Scalar* corners = boxes + int64_t(blockIdx.x) * size * 4;
  T* scores = remaining + int64_t(blockIdx.x) * size;
  Scalar* result = output + int64_t(blockIdx.x) * size;
  while (true) {
    Candidate<T> best{T(0), size};
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) best.keep_better(scores[i], i);
    best = reduce_block(best, shared);
    if (!(best.score > T(0))) return;
    const Box<T> box = load<T>(corners + best.index * 4);
    const T box_area = area(box);
    for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
      if (i == best.index) {
        result[i] = static_cast<Scalar>(scores[i]);
        scores[i] = T(0);
      } else if (scores[i] > T(0)) {
        const Box<T> other = load<T>(corners + i * 4);
        scores[i] = decay(scores[i], iou(box, box_area, other, area(other)));
      }
    }
  }
}

Tensor soft_nms_padded_cuda(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    std::string method, double sigma) {
  const Rule rule = make_rule(boxes, scores, iou_threshold, min_score, method, sigma);
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  const Tensor corners = torch::stable::contiguous(boxes);
  Tensor output = torch::stable::new_zeros(scores, scores.sizes());
  if (output.numel() == 0) return output;
  Tensor remaining = torch::stable::new_empty(
      scores, scores.sizes(), accumulate_dtype(scores.scalar_type()));
  torch::stable::copy_(remaining, scores);
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const auto launch = [&](auto decay) {
      soft_nms<Scalar><<<boxes.size(0), kThreads, 0, current_stream(boxes.get_device_index())>>>(
          read<Scalar>(corners), boxes.size(1), decay, write<T>(remaining), write<Scalar>(output));
    };
    if (rule.gaussian) launch(Decay<T, true>(rule));
    else launch(Decay<T, false>(rule));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cuda));
}
