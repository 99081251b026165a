// Kernels on real threads for a race detector: built with -fsanitize=thread, it fails on a race.
// With an argument it makes one on purpose, which shows that the detector sees what it should.
#include "nms_kernels.h"
#include "psroi_kernels.h"
#include "resize_kernels.h"
#include "select_kernels.h"
#include "separable_kernels.h"

#include <cmath>
#include <cstdio>
#include <memory>

using namespace harness;
using namespace harness::emulation;

namespace {

std::mt19937 randomness(0);

float draw(float most) { return std::uniform_real_distribution<float>(0, most)(randomness); }

std::vector<float> draw_boxes(int64_t count, float spread) {
  std::vector<float> boxes;
  for (int64_t i = 0; i < count; ++i) {
    const float x = draw(spread), y = draw(spread);
    boxes.insert(boxes.end(), {x, y, x + 1 + draw(40), y + 1 + draw(40)});
  }
  return boxes;
}

void run_nms_once(int threads, int64_t size, int64_t max_output, float spread) {
  const auto boxes = draw_boxes(2 * size, spread);
  auto valid = std::make_unique<bool[]>(2 * size);
  for (int64_t i = 0; i < 2 * size; ++i) valid[i] = draw(1) < 0.8f;
  std::vector<int64_t> indices(2 * max_output), counts(2);
  ThreadCrew crew;
  run_nms<float>(
      crew, boxes.data(), {valid.get(), nullptr, size}, 2, 0.5f, max_output, threads,
      indices.data(), counts.data());
}

void run_soft_nms_once(int threads, int64_t size) {
  const auto boxes = draw_boxes(size, 60);
  std::vector<float> scores(size), output(size);
  for (auto& score : scores) score = draw(1) < 0.7f ? std::round(draw(8)) / 8 : 0;
  ThreadCrew crew;
  run_soft_nms<float, false>(
      crew, boxes.data(), scores.data(), nullptr, 1, 1, size, {0.1, 0.3, 0.05, 0.5, false}, threads,
      output.data());
}

void run_psroi_once(int64_t ratio, bool by_planes) {
  const int64_t sizes[] = {12, 13, 6, 7}, strides[] = {4, 8};
  const int64_t memory_strides[] = {18 * 156, 156, 13, 1, 18 * 42, 42, 7, 1};
  const Pooling asked{2,         1,    6,     2,       3,             3, ratio, 0, 0, 1,
                      by_planes, 20.0, sizes, strides, memory_strides};
  const auto boxes = draw_boxes(6, 40);
  std::vector<float> fine(18 * 156), coarse(18 * 42), output(6 * 18);
  std::vector<int32_t> argmax(6 * 18);
  for (auto* map : {&fine, &coarse})
    for (auto& value : *map) value = draw(1);
  float* maps[] = {fine.data(), coarse.data()};
  ThreadCrew crew;
  const auto forward = ratio == 2 ? run_forward<2, float> : run_forward<0, float>;
  const auto backward = ratio == 2 ? run_backward<2, float> : run_backward<0, float>;
  forward(crew, asked, 64, maps, boxes.data(), output.data(), argmax.data());
  backward(crew, asked, 64, maps, boxes.data(), output.data(), argmax.data());
}

void run_select_once(int threads, int64_t limit, bool keeps_keys) {
  const int64_t size = 150;  // three groups of 50
  const auto boxes = draw_boxes(size, 60);
  std::vector<float> scores(size), chosen(4 * limit), best(limit);
  std::vector<int64_t> groups(limit), counts(1);
  for (auto& score : scores) score = std::round(draw(8)) / 8;  // many are equal
  ThreadCrew crew;
  run_select_boxes(
      crew, boxes.data(), scores.data(), nullptr, nullptr, 1, 3, 50, 0, limit, 0.1f, false,
      keeps_keys, threads, chosen.data(), best.data(), groups.data(), counts.data());

  const int64_t shape[] = {2, 5, 15}, strides[] = {150, 75, 15, 1}, delta_strides[] = {600, 75, 15, 1};
  const AnchorSelection asked{
      1, 1, limit, limit, 60, 60, 0, keeps_keys, 2, 1, shape, strides, delta_strides};
  std::vector<float> deltas(600, 0.1f);
  const float *logits[] = {scores.data()}, *all_deltas[] = {deltas.data()};
  run_select_anchors(
      crew, asked, threads, logits, all_deltas, boxes.data(), chosen.data(), best.data(),
      counts.data());
}

void run_resize_once(int64_t height, int64_t width) {
  const std::vector<uint8_t> image(3 * 12 * 10, 200);
  std::vector<uint8_t> result(3 * height * width);
  const resize::Job job{
      image.data(), {1, 30, 3}, result.data(), {height * width, width, 1},
      3, resize::Axis(12, height), resize::Axis(10, width)};
  ThreadCrew crew;
  run_resize(crew, job, kWarp);
}

void run_separable_once(bool large, int threads) {
  const int64_t heights[] = {5, 2}, widths[] = {5, 3}, blocks[] = {2, 1}, block_widths[] = {4, 6};
  const int64_t strides[] = {150, 1, 30, 6, 36, 1, 18, 6};
  const Separable asked{2, 1, 6, 8, 1, heights, widths, strides, blocks, block_widths};
  const std::vector<float> numbers(200, 0.5f);
  std::vector<const float*> tensors(10, numbers.data());
  std::vector<float> output(31 * 8);
  ThreadCrew crew;
  run_separable(crew, asked.job(tensors.data()), large, threads, output.data());
}

// A ballot in the place of a barrier: orders threads, but not what they have written.
void race() {
  ThreadCrew crew;
  int written = 0, seen = 0;
  crew.run(kWarp, [&](int rank) {
    const Warp warp{&crew, rank};
    if (rank == 0) written = 1;
    warp.ballot(true);
    if (rank == 1) seen = written;
  });
  std::printf("%d\n", seen);
}

}  // namespace

int main(int count, char**) {
  if (count > 1) {
    race();
    return 0;
  }
  for (const int64_t size : {1, 64, 130}) {
    run_nms_once(64, size, size, 60);
    run_nms_once(128, size, 20, 300);
  }
  for (const int64_t size : {1, 33, 70}) {
    run_soft_nms_once(kWarp, size);
    run_soft_nms_once(2 * kWarp, size);
  }
  for (const int64_t ratio : {0, 2, 3})
    for (const bool by_planes : {false, true})
      if (ratio > 0 || !by_planes) run_psroi_once(ratio, by_planes);
  for (const int threads : {32, 64}) {
    for (const int64_t limit : {1, 20, 100}) run_select_once(threads, limit, limit == 20);
  }
  for (const int threads : {4, 32})
    for (const bool large : {false, true}) run_separable_once(large, threads);
  run_resize_once(7, 40);
  run_resize_once(6, 5);
  std::puts("no race");
}
