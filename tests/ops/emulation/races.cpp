// Kernels on real threads for a race detector: built with -fsanitize=thread, it fails on a race.
// With an argument it makes one on purpose, which shows that the detector sees what it should.
#include "nms_kernels.h"

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
      crew, boxes.data(), valid.get(), 2, size, 0.5f, max_output, threads, indices.data(),
      counts.data());
}

void run_soft_nms_once(int threads, int64_t size) {
  const auto boxes = draw_boxes(size, 60);
  std::vector<float> scores(size), output(size);
  for (auto& score : scores) score = draw(1) < 0.7f ? std::round(draw(8)) / 8 : 0;
  ThreadCrew crew;
  run_soft_nms<float, false>(
      crew, boxes.data(), scores.data(), 1, size, {0.3, 0.05, 0.5, false}, threads, output.data());
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
  std::puts("no race");
}
