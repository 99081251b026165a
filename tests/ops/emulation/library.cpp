// What the tests call through ctypes: kernels on fibers, whose turns `seed` decides. 0 is success.
#include "nms_kernels.h"
#include "psroi_kernels.h"
#include "resize_kernels.h"
#include "select_kernels.h"
#include "separable_kernels.h"

namespace {

using harness::emulation::Pooling;

template <typename F>
int run(uint64_t seed, const F& launch) {
  try {
    harness::emulation::FiberCrew crew(seed);
    launch(crew);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

}  // namespace

#define HARNESS_EMULATE(T, name)                                                                 \
  extern "C" int nms_##name(                                                                     \
      uint64_t seed, int threads, const T* boxes, const bool* flags, const int64_t* present,     \
      int64_t groups, int64_t size, double threshold, int64_t max_output, int64_t* indices,      \
      int64_t* counts) {                                                                         \
    return run(seed, [&](auto& crew) {                                                           \
      harness::emulation::run_nms<T>(                                                            \
          crew, boxes, {flags, present, size}, groups, static_cast<T>(threshold), max_output,    \
          threads, indices, counts);                                                             \
    });                                                                                          \
  }                                                                                              \
  extern "C" int soft_nms_##name(                                                                \
      uint64_t seed, int threads, const T* boxes, const T* scores, const int64_t* counts,        \
      int64_t images, int64_t classes, int64_t size, double score_threshold, double threshold,   \
      double min_score, double sigma, bool gaussian, T* output) {                                \
    const harness::soft_nms::Rule rule{score_threshold, threshold, min_score, sigma, gaussian};  \
    const auto launch = gaussian ? harness::emulation::run_soft_nms<T, true>                     \
                                 : harness::emulation::run_soft_nms<T, false>;                   \
    return run(seed, [&](auto& crew) {                                                           \
      launch(crew, boxes, scores, counts, images, classes, size, rule, threads, output);         \
    });                                                                                          \
  }                                                                                              \
  extern "C" int psroi_##name(                                                                   \
      uint64_t seed, int threads, const Pooling* asked, const T* const* maps, const T* boxes,    \
      T* output, int32_t* argmax) {                                                              \
    const bool usual = (asked->tabled || asked->by_planes) && asked->sampling_ratio == 2;        \
    const auto launch = usual ? harness::emulation::run_forward<2, T>                            \
                              : harness::emulation::run_forward<0, T>;                           \
    return run(seed, [&](auto& crew) {                                                           \
      launch(crew, *asked, threads, maps, boxes, output, argmax);                                \
    });                                                                                          \
  }                                                                                              \
  extern "C" int psroi_backward_##name(                                                          \
      uint64_t seed, int threads, const Pooling* asked, T* const* maps, const T* boxes,          \
      const T* gradients, const int32_t* argmax) {                                               \
    const bool usual = (asked->tabled || asked->by_planes) && asked->sampling_ratio == 2;        \
    const auto launch = usual ? harness::emulation::run_backward<2, T>                           \
                              : harness::emulation::run_backward<0, T>;                          \
    return run(seed, [&](auto& crew) {                                                           \
      launch(crew, *asked, threads, maps, boxes, gradients, argmax);                             \
    });                                                                                          \
  }

#define HARNESS_EMULATE_SEPARABLE(T, name)                                                       \
  extern "C" int separable_##name(                                                               \
      uint64_t seed, int threads, const harness::emulation::Separable* asked, bool large,        \
      const T* const* tensors, T* output) {                                                      \
    return run(seed, [&](auto& crew) {                                                           \
      harness::emulation::run_separable(crew, asked->job(tensors), large, threads, output);      \
    });                                                                                          \
  }

HARNESS_EMULATE_SEPARABLE(float, float)
HARNESS_EMULATE_SEPARABLE(double, double)
HARNESS_EMULATE(float, float)
HARNESS_EMULATE(double, double)

extern "C" int select_anchors_float(
    uint64_t seed, int threads, const harness::emulation::AnchorSelection* asked,
    const float* const* logits, const float* const* deltas, const float* anchors, float* boxes,
    float* scores, int64_t* counts) {
  return run(seed, [&](auto& crew) {
    harness::emulation::run_select_anchors(
        crew, *asked, threads, logits, deltas, anchors, boxes, scores, counts);
  });
}

extern "C" int select_boxes_float(
    uint64_t seed, int threads, const float* boxes, const float* scores, const int64_t* kept,
    const int64_t* kept_counts, int64_t images, int64_t groups, int64_t size, int64_t kept_size,
    int64_t limit, double score_threshold, bool far, bool keeps_keys, float* chosen_boxes,
    float* chosen_scores, int64_t* chosen_groups, int64_t* counts) {
  return run(seed, [&](auto& crew) {
    harness::emulation::run_select_boxes(
        crew, boxes, scores, kept, kept_counts, images, groups, size, kept_size, limit,
        static_cast<float>(score_threshold), far, keeps_keys, threads, chosen_boxes, chosen_scores,
        chosen_groups, counts);
  });
}

extern "C" int resize_byte(
    uint64_t seed, int threads, const uint8_t* image, int64_t channels, int64_t height,
    int64_t width, int64_t channel_step, int64_t row_step, int64_t column_step, uint8_t* result,
    int64_t new_height, int64_t new_width, int64_t new_channel_step, int64_t new_row_step,
    int64_t new_column_step) {
  using harness::resize::Axis;
  const harness::resize::Job job{
      image, {channel_step, row_step, column_step},
      result, {new_channel_step, new_row_step, new_column_step},
      channels, Axis(height, new_height), Axis(width, new_width)};
  return run(seed, [&](auto& crew) { harness::emulation::run_resize(crew, job, threads); });
}

extern "C" uint32_t divide(uint32_t number, int64_t divisor, int64_t largest) {
  return harness::Divider(divisor, largest)(number);
}
