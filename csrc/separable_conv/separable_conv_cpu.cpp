// A thread takes a tile through both convolutions while it is in the cache: the map in between is
// never written. Products and sums may fuse here, unlike in the other ops: a convolution's last bits
// differ between libraries anyway.
//
// One binary serves every processor, so what a tile takes is compiled for several instruction sets.
// Compilers without vector types (MSVC) leave the op to its reference.
#if defined(__GNUC__)

#include "arguments.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <vector>

#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

#define HARNESS_ISA one_lane
#define HARNESS_BYTES sizeof(T)
#include "lanes.h"
#undef HARNESS_ISA
#undef HARNESS_BYTES

#define HARNESS_ISA baseline
#define HARNESS_BYTES 16
#include "lanes.h"
#undef HARNESS_ISA
#undef HARNESS_BYTES

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define HARNESS_ISA avx2
#define HARNESS_BYTES 32
#include "lanes.h"
#undef HARNESS_ISA
#undef HARNESS_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#define HARNESS_ISA avx512
#define HARNESS_BYTES 64
#include "lanes.h"
#undef HARNESS_ISA
#undef HARNESS_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace harness::separable {
namespace {

template <typename Scalar, typename T>
using Convolve = void (*)(const Job<Scalar, T>&, const Tile&, T*, Scalar*);

// The widest registers that this processor has and that the narrowest block fills.
template <typename Scalar, typename T>
Convolve<Scalar, T> choose(const Job<Scalar, T>& job) {
  int64_t width = job.channels;
  for (int64_t k = 0; k < job.count; ++k) {
    if (job.maps[k].block_width < width) width = job.maps[k].block_width;
  }
  const auto bytes = width * static_cast<int64_t>(sizeof(T));
#if defined(__x86_64__)
  if (bytes >= 64 && __builtin_cpu_supports("avx512f")) return avx512::convolve_tile<Scalar, T>;
  if (bytes >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return avx2::convolve_tile<Scalar, T>;
  }
#endif
  return bytes >= 16 ? baseline::convolve_tile<Scalar, T> : one_lane::convolve_tile<Scalar, T>;
}

Tensor separable_conv_cpu(
    std::vector<Tensor> maps, Weights depthwise, Weights depthwise_bias, Weights pointwise,
    Weights pointwise_bias, int64_t out_channels, bool relu) {
  const Arguments given{
      maps, depthwise, depthwise_bias, pointwise, pointwise_bias, out_channels, relu};
  given.check();
  Tensor rows = given.make_rows();
  dispatch_floating(maps[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const auto job = given.make_job<Scalar>();
    const auto convolve = choose(job);
    Scalar* output = write<Scalar>(rows);
    torch::stable::parallel_for(0, job.images * job.tiles(), 2, [&](int64_t begin, int64_t end) {
      std::vector<T> middle(kTile * job.channels);
      for (int64_t number = begin; number < end; ++number) {
        convolve(job, find_tile(job, number), middle.data(), output);
      }
    });
  });
  return rows;
}

}  // namespace
}  // namespace harness::separable

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("separable_conv", TORCH_BOX(&harness::separable::separable_conv_cpu));
}

#endif
