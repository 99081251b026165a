// Launches of the kernels of select_anchors and select_boxes on emulated threads.
#pragma once

#include "../../../csrc/select_anchors/kernel.h"
#include "../../../csrc/select_boxes/kernel.h"
#include "nms_kernels.h"
#include "team.h"

namespace harness::emulation {

// Shared memory of a block, with a list elsewhere and with keys as the test wants it.
class SelectionMemory {
 public:
  SelectionMemory(int64_t limit, int64_t size, bool far, bool keeps_keys)
      : list_size_(padded_count(static_cast<uint32_t>(std::min(limit, size)))),
        keeps_keys_(keeps_keys),
        shared_(garbage(BestWorkspace::kFixedBytes + list_size_ * 8 + size * 4)),
        far_(far ? list_size_ : 0, 7) {}

  BestWorkspace workspace() {
    return {shared_.data(), list_size_, far_.empty() ? nullptr : far_.data(), keeps_keys_};
  }

 private:
  uint32_t list_size_;
  bool keeps_keys_;
  std::vector<unsigned char> shared_;
  std::vector<uint64_t> far_;
};

// As the tests hand it over.
struct AnchorSelection {
  int64_t levels, images, limit, rows, height, width, far, keeps_keys;
  double max_log_ratio, inside;
  const int64_t *sizes, *logit_strides, *delta_strides;  // 3 (A, H, W), 4 and 4 per level

  select_anchors::Request<float> request(
      const float* const* logits, const float* const* deltas, const float* anchors) const {
    select_anchors::Request<float> asked{};
    asked.count = levels;
    asked.anchors = {anchors, 0, 4, 1};
    asked.coding = {
        static_cast<float>(max_log_ratio), static_cast<float>(height), static_cast<float>(width),
        static_cast<float>(inside)};
    asked.limit = asked.width = static_cast<uint32_t>(rows);
    uint32_t first = 0;
    for (int64_t k = 0; k < levels; ++k) {
      const int64_t* shape = sizes + 3 * k;
      auto& maps = asked.levels[k];
      maps.logits = logits[k];
      maps.deltas = deltas[k];
      for (int i = 0; i < 4; ++i) {
        maps.logit_strides[i] = logit_strides[4 * k + i];
        maps.delta_strides[i] = delta_strides[4 * k + i];
      }
      maps.size = static_cast<uint32_t>(shape[0] * shape[1] * shape[2]);
      maps.first = first;
      maps.per_cell = Divider(shape[0], maps.size);
      maps.columns = Divider(shape[2], maps.size);
      first += maps.size;
    }
    return asked;
  }
};

inline void run_select_anchors(
    Crew& crew, const AnchorSelection& asked, int threads, const float* const* logits,
    const float* const* deltas, const float* anchors, float* boxes, float* scores,
    int64_t* counts) {
  const auto request = asked.request(logits, deltas, anchors);
  const select_anchors::Result result{boxes, scores, counts};
  for (int64_t group = 0; group < asked.images * asked.levels; ++group) {
    const int64_t image = group / asked.levels, level = group % asked.levels;
    SelectionMemory memory(
        asked.rows, request.levels[level].size, asked.far != 0, asked.keeps_keys != 0);
    const auto work = memory.workspace();
    crew.run(threads, [&](int rank) {
      const Block block{&crew, rank, threads};
      select_anchors::select_of_level(block, work, request, result, image, level);
    });
  }
}

// `kept` and `kept_counts` are null where every box is a candidate.
inline void run_select_boxes(
    Crew& crew, const float* boxes, const float* scores, const int64_t* kept,
    const int64_t* kept_counts, int64_t images, int64_t groups, int64_t size, int64_t kept_size,
    int64_t limit, float score_threshold, bool far, bool keeps_keys, int threads,
    float* chosen_boxes, float* chosen_scores, int64_t* chosen_groups, int64_t* counts) {
  select_boxes::Request<float> asked{};
  const int64_t group_size = kept ? kept_size : size;
  asked.boxes = boxes;
  asked.scores = scores;
  const int64_t box_strides[] = {groups * size * 4, size * 4, 4, 1};
  const int64_t score_strides[] = {groups * size, size, 1};
  std::copy_n(box_strides, 4, asked.box_strides);
  std::copy_n(score_strides, 3, asked.score_strides);
  asked.kept = kept;
  asked.counts = kept_counts;
  asked.groups = groups;
  asked.group_size = static_cast<uint32_t>(group_size);
  asked.score_threshold = score_threshold;
  asked.limit = static_cast<uint32_t>(limit);
  asked.groups_of = Divider(group_size, groups * group_size);
  const select_boxes::Result<float> result{chosen_boxes, chosen_scores, chosen_groups, counts};
  for (int64_t image = 0; image < images; ++image) {
    SelectionMemory memory(limit, groups * group_size, far, keeps_keys);
    const auto work = memory.workspace();
    crew.run(threads, [&](int rank) {
      const Block block{&crew, rank, threads};
      select_boxes::select_of_image(block, work, asked, result, image);
    });
  }
}

}  // namespace harness::emulation
