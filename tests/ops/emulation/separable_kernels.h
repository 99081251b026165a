// Launches of the kernel of separable_conv on emulated threads.
#pragma once

#include "../../../csrc/separable_conv/kernel.h"
#include "nms_kernels.h"
#include "team.h"

namespace harness::emulation {

// As the tests hand it over; the lists hold one number or pointer per map.
struct Separable {
  int64_t maps, images, channels, out_channels, relu;
  const int64_t *heights, *widths, *strides, *blocks, *block_widths;  // strides: 4 per map

  template <typename T>
  separable::Job<T, T> job(const T* const* tensors) const {
    separable::Job<T, T> made{{}, maps, images, channels, out_channels, 0, relu != 0};
    for (int64_t k = 0; k < maps; ++k) {
      const int64_t* steps = strides + 4 * k;
      const T* const* own = tensors + 5 * k;
      made.maps[k] = {own[0],        steps[0], steps[2], steps[3], heights[k], widths[k],
                      made.cells,    own[1],   own[2],   own[3],   own[4],     blocks[k],
                      block_widths[k]};
      made.cells += made.maps[k].cells();
    }
    return made;
  }
};

template <int kCells, typename T>
void run_separable_tiles(
    Crew& crew, const separable::Job<T, T>& job, int threads, T* output) {
  for (int64_t number = 0; number < job.images * job.tiles(kCells); ++number) {
    auto shared = garbage(separable::shared_bytes<kCells, T>(job.channels));
    auto* middle = reinterpret_cast<separable::Quad<T>*>(shared.data());
    crew.run(threads, [&](int rank) {
      separable::convolve_tile<kCells>(Block{&crew, rank, threads}, job, number, middle, output);
    });
  }
}

// In the tiles of a large job, or in those of a small one.
template <typename T>
void run_separable(
    Crew& crew, const separable::Job<T, T>& job, bool large, int threads, T* output) {
  if (large) run_separable_tiles<separable::kTile>(crew, job, threads, output);
  else run_separable_tiles<separable::kSmallTile>(crew, job, threads, output);
}

}  // namespace harness::emulation
