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
    Crew& crew, const T* boxes, const nms::Present& present, int64_t groups, T threshold,
    int64_t max_output, int threads, int64_t* indices, int64_t* counts) {
  auto memory = garbage(sizeof(nms::Workspace<T>));
  auto& shared = *reinterpret_cast<nms::Workspace<T>*>(memory.data());
  const Corners<T> corners{boxes, present.size * 4, 4, 1};
  for (int64_t group = 0; group < groups; ++group) {
    crew.run(threads, [&](int rank) {
      const Block block{&crew, rank, threads};
      nms::walk_group<T>(
          block, shared, corners, present, group, threshold, max_output, indices, counts);
    });
  }
}

// Scores lie box by box, as a head gives them; `counts` may be null.
template <typename T, bool Gaussian>
void run_soft_nms(
    Crew& crew, const T* boxes, const T* scores, const int64_t* counts, int64_t images,
    int64_t classes, int64_t size, const soft_nms::Rule& rule, int threads, T* output) {
  const soft_nms::Decay<T, Gaussian> decay(rule);
  const soft_nms::Classes<T, T> all{
      {boxes, size * 4, 4, 1}, scores, size * classes, 1, classes, counts, classes, size,
      static_cast<T>(rule.score_threshold)};
  auto memory = garbage(size * soft_nms::Candidates<T>::kBytes + 64);
  std::vector<soft_nms::Best<T>> shared(32);
  std::vector<T> remaining(images * classes * size);
  for (int64_t index = 0; index < images * classes; ++index) {
    crew.run(threads, [&](int rank) {
      if (threads > kWarp) {  // the kernel for classes that shared memory does not hold
        soft_nms::walk_in_global(
            Block{&crew, rank, threads}, shared.data(), all, index, decay, remaining.data(),
            output);
      } else {
        soft_nms::walk_in_shared(
            Warp{&crew, rank}, soft_nms::Candidates<T>(memory.data(), size), all, index, decay,
            output);
      }
    });
  }
}

}  // namespace harness::emulation
