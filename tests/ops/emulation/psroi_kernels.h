// Launches of the kernels of psroi_align_multilevel on emulated threads.
#pragma once

#include "../../../csrc/psroi_align_multilevel/kernel.h"
#include "../../../csrc/psroi_align_multilevel/planes.h"
#include "nms_kernels.h"
#include "team.h"

namespace harness::emulation {

// As the tests hand it over.
struct Pooling {
  int64_t levels, images, image_boxes, output_channels, pooled_height, pooled_width;
  int64_t sampling_ratio, inclusive, mean, tabled, by_planes;
  double finest_scale;
  const int64_t *sizes, *strides, *memory_strides;  // 2, 1 and 4 a level

  template <typename T>
  psroi::Launch<T> launch() const {
    psroi::Pyramid<T> pyramid{{}, levels, image_boxes, inclusive != 0};
    const int64_t channels = output_channels * pooled_height * pooled_width;
    for (int64_t k = 0; k < levels; ++k) {
      const psroi::Shape shape{
          images, channels, sizes[2 * k], sizes[2 * k + 1], output_channels, pooled_height,
          pooled_width, sampling_ratio, mean != 0};
      pyramid.levels[k] = psroi::make_level<T>(shape, k, strides[k], finest_scale);
    }
    return {pyramid, tabled && sampling_ratio > 0};
  }

  template <typename T>
  psroi::Maps<T> maps(T* const* data) const {
    psroi::Maps<T> result{};
    for (int64_t k = 0; k < levels; ++k) {
      result.data[k] = data[k];
      for (int i = 0; i < 4; ++i) result.strides[k][i] = memory_strides[4 * k + i];
    }
    return result;
  }
};

// Calls f(block, launch, n, table) for each box.
template <typename T, typename F>
void run_blocks(Crew& crew, const Pooling& asked, int threads, const F& f) {
  const auto launch = asked.launch<T>();
  std::vector<psroi::Read<T>> table(psroi::table_size(launch.pyramid.shape()));
  for (int64_t n = 0; n < asked.images * asked.image_boxes; ++n) {
    crew.run(threads, [&](int rank) {
      f(Block{&crew, rank, threads}, launch, static_cast<uint32_t>(n), table.data());
    });
  }
}

// Calls f(block, pyramid, stack, notes, number, planes) for each channel of each image.
template <typename T, typename F>
void run_planes(Crew& crew, const Pooling& asked, int threads, const T* boxes, const F& f) {
  const auto pyramid = asked.launch<T>().pyramid;
  const psroi::Stack stack(pyramid);
  const int64_t count = asked.images * asked.image_boxes;
  const int64_t reads = psroi::table_size(pyramid.shape());
  auto memory = garbage(psroi::Notes<T>::bytes(count, reads));
  const psroi::Notes<T> notes(memory.data(), count, reads);
  for (uint32_t n = 0; n < notes.boxes; ++n)
    for (uint32_t k = 0; k < reads; ++k) psroi::take_note(pyramid, boxes, n, k, notes);
  for (int64_t number = 0; number < asked.images * pyramid.shape().channels; ++number) {
    auto shared = garbage(stack.cells * sizeof(T));
    crew.run(threads, [&](int rank) {
      f(Block{&crew, rank, threads}, pyramid, stack, notes, static_cast<uint32_t>(number),
        reinterpret_cast<T*>(shared.data()));
    });
  }
}

template <int kRatio, typename T>
void run_forward(
    Crew& crew, const Pooling& asked, int threads, const T* const* maps, const T* boxes, T* output,
    int32_t* argmax) {
  const auto views = asked.maps<const T>(maps);
  if (asked.by_planes) {
    const auto pool = [&](auto block, auto& pyramid, auto& stack, auto& notes, auto n, T* own) {
      psroi::pool_planes<kRatio>(
          block, pyramid, stack, notes, views, n, own, output, asked.mean ? nullptr : argmax);
    };
    run_planes<T>(crew, asked, threads, boxes, pool);
    return;
  }
  run_blocks<T>(crew, asked, threads, [&](const auto& block, const auto& launch, auto n, auto table) {
    psroi::pool_box<kRatio>(
        block, launch, views, boxes, n, table, output, asked.mean ? nullptr : argmax);
  });
}

template <int kRatio, typename T>
void run_backward(
    Crew& crew, const Pooling& asked, int threads, T* const* maps, const T* boxes,
    const T* gradients, const int32_t* argmax) {
  const auto views = asked.maps<T>(maps);
  if (asked.by_planes) {
    const auto scatter = [&](auto block, auto& pyramid, auto& stack, auto& notes, auto n, T* own) {
      psroi::scatter_planes<kRatio>(
          block, pyramid, stack, notes, views, gradients, n, asked.mean ? nullptr : argmax, own);
    };
    run_planes<T>(crew, asked, threads, boxes, scatter);
    return;
  }
  run_blocks<T>(crew, asked, threads, [&](const auto& block, const auto& launch, auto n, auto table) {
    psroi::scatter_box<kRatio>(
        block, launch, views, gradients, boxes, n, asked.mean ? nullptr : argmax, table);
  });
}

}  // namespace harness::emulation
