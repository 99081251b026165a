// Launches of the kernels of nms_padded and soft_nms_padded on emulated threads.
#pragma once

#include "../../../csrc/nms_padded/kernel.h"
#include "../../../csrc/soft_nms_padded/kernel.h"
#include "team.h"

#include <algorithm>

namespace harness::emulation {

// Shared memory starts with whatever was there before.
inline std::vector<unsigned char> garbage(size_t bytes) {
  return std::vector<unsigned char>(bytes, 0xa5);
}

template <typename T>
void run_nms(
    Crew& crew, const T* boxes, const bool* valid, int64_t groups, int64_t size, T threshold,
    int64_t max_output, int threads, int64_t* indices, int64_t* counts) {
  auto memory = garbage(sizeof(nms::Workspace<T>));
  auto& shared = *reinterpret_cast<nms::Workspace<T>*>(memory.data());
  const Corners<T> corners{boxes, size * 4, 4, 1};
  for (int64_t group = 0; group < groups; ++group) {
    crew.run(threads, [&](int rank) {
      const Block block{&crew, rank, threads};
      nms::walk_group<T>(
          block, shared, corners, valid, group, size, threshold, max_output, indices, counts);
    });
  }
}

template <typename T, bool Gaussian>
void run_soft_nms(
    Crew& crew, const T* boxes, const T* scores, int64_t groups, int64_t size,
    const soft_nms::Rule& rule, int threads, T* output) {
  const soft_nms::Decay<T, Gaussian> decay(rule);
  const Corners<T> corners{boxes, size * 4, 4, 1};
  auto memory = garbage(size * soft_nms::Candidates<T>::kBytes + 64);
  std::vector<soft_nms::Best<T>> shared(32);
  std::vector<T> remaining(groups * size);
  for (int64_t group = 0; group < groups; ++group) {
    crew.run(threads, [&](int rank) {
      if (threads > kWarp) {  // the kernel for groups that shared memory does not hold
        soft_nms::walk_in_global(
            Block{&crew, rank, threads}, shared.data(), corners, scores, group, size, decay,
            remaining.data(), output);
      } else {
        soft_nms::walk_in_shared(
            Warp{&crew, rank}, soft_nms::Candidates<T>(memory.data(), size), corners, scores, group,
            size, decay, output);
      }
    });
  }
}

}  // namespace harness::emulation
