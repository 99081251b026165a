// The body of the CUDA kernel: one block walks the boxes of one group, a chunk at a time.
//
// Each thread compares one box of the chunk with a share of the kept boxes and of the chunk. Then
// every warp finds, by itself and so without a barrier, what is kept of the chunk: in rounds, each
// dropping what the last round's kept boxes suppress. After k rounds the first k boxes are as the
// greedy walk leaves them, so the state that a round leaves alone is the greedy one.
#pragma once

#include "../common/boxes.h"
#include "../common/team.h"
#include "present.h"

#include <cstdint>

namespace harness::nms {

constexpr int kChunk = 64;       // boxes; as many as a word has bits
constexpr int kMostSlices = 16;  // threads for each of them

// In shared memory.
template <typename T>
struct Workspace {
  static constexpr int kKept = 16384 / sizeof(Box<T>);

  // In turn, so that one chunk is stored while slow threads still look at the last.
  Box<T> chunk[2][kChunk];
  bool valid[2][kChunk];
  bool suppressed[kMostSlices][kChunk];  // by a box that is kept
  uint64_t earlier[kMostSlices][kChunk];  // bits of the boxes of the chunk that it might fall to
  Box<T> kept[kKept];  // the first of them; later ones are read where they come from
};

template <typename T, typename Scalar, typename Block>
class Walk {
 public:
  HARNESS_DEVICE Walk(
      const Block& block, Workspace<T>& shared, const Corners<Scalar>& corners,
      const Present& present, int64_t group, int64_t size, T threshold, int64_t max_output,
      int64_t* indices)
      : block_(block), shared_(shared), corners_(corners), present_(present), group_(group),
        size_(size), max_output_(max_output), indices_(indices), threshold_(threshold) {}

  // The whole block calls; returns how many boxes are kept.
  HARNESS_DEVICE int64_t run() {
    load(0);
    for (int64_t base = 0, turn = 0; base < size_ && count_ < max_output_; base += kChunk) {
      store(turn);
      load(base + kChunk);  // on its way while this chunk is looked at
      block_.sync();
      const int lane = block_.warp().lane();
      const uint64_t valid = ballot(shared_.valid[turn][lane], shared_.valid[turn][lane + kWarp]);
      if (valid) {
        compare(shared_.chunk[turn]);
        block_.sync();
        keep(resolve(valid), base, shared_.chunk[turn]);
      }
      turn ^= 1;
    }
    for (int64_t k = count_ + block_.rank(); k < max_output_; k += block_.size()) indices_[k] = 0;
    return count_;
  }

 private:
  HARNESS_DEVICE void load(int64_t base) {
    const int64_t i = base + block_.rank();
    next_valid_ = block_.rank() < kChunk && i < size_ && present_(group_, i);
    if (next_valid_) next_ = corners_.template load<T>(group_, i);
  }

  HARNESS_DEVICE void store(int64_t turn) {
    if (block_.rank() >= kChunk) return;
    shared_.chunk[turn][block_.rank()] = next_;
    shared_.valid[turn][block_.rank()] = next_valid_;
  }

  // A lane tells of two boxes; bit j is about box j, the same in every warp.
  HARNESS_DEVICE uint64_t ballot(bool low, bool high) const {
    const auto warp = block_.warp();
    const uint64_t bits = warp.ballot(low);
    return bits | uint64_t(warp.ballot(high)) << kWarp;
  }

  HARNESS_DEVICE Box<T> kept_box(int64_t k) const {
    if (k < Workspace<T>::kKept) return shared_.kept[k];
    return corners_.template load<T>(group_, indices_[k]);
  }

  HARNESS_DEVICE void compare(const Box<T>* chunk) const {
    const int j = block_.rank() % kChunk, slice = block_.rank() / kChunk;
    const int slices = block_.size() / kChunk;
    const Box<T> box = chunk[j];
    const T box_area = area(box);
    const auto overlaps = [&](const Box<T>& other) {
      return overlap(other, area(other), box, box_area).exceeds(threshold_);
    };
    const auto count = static_cast<int>(count_);  // at most as many as there are boxes
    const int near = count < Workspace<T>::kKept ? count : Workspace<T>::kKept;
    bool suppressed = false;
    int k = slice;
    // four at a time: they do not wait for one another
    for (; k + 3 * slices < near && !suppressed; k += 4 * slices) {
      HARNESS_UNROLL
      for (int i = 0; i < 4; ++i) suppressed |= overlaps(shared_.kept[k + i * slices]);
    }
    for (; k < count && !suppressed; k += slices) suppressed = overlaps(kept_box(k));
    uint64_t earlier = 0;
    for (int i = slice; i < j; i += slices) earlier |= uint64_t(overlaps(chunk[i])) << i;
    shared_.suppressed[slice][j] = suppressed;
    shared_.earlier[slice][j] = earlier;
  }

  // What the threads have found about one box of the chunk.
  struct Fate {
    bool alive;
    uint64_t earlier = 0;

    HARNESS_DEVICE bool survives(uint64_t kept) const { return alive && !(earlier & kept); }
  };

  HARNESS_DEVICE Fate find_fate(int j, uint64_t valid) const {
    Fate fate{bool(valid >> j & 1)};
    for (int slice = 0; slice < block_.size() / kChunk; ++slice) {
      fate.alive &= !shared_.suppressed[slice][j];
      fate.earlier |= shared_.earlier[slice][j];
    }
    return fate;
  }

  // The bits of the boxes of the chunk that are kept.
  HARNESS_DEVICE uint64_t resolve(uint64_t valid) const {
    const int lane = block_.warp().lane();
    const Fate low = find_fate(lane, valid), high = find_fate(lane + kWarp, valid);
    uint64_t kept = ballot(low.alive, high.alive);
    while (true) {
      const uint64_t survivors = ballot(low.survives(kept), high.survives(kept));
      if (survivors == kept) return kept;
      kept = survivors;
    }
  }

  HARNESS_DEVICE void keep(uint64_t kept, int64_t base, const Box<T>* chunk) {
    const int j = block_.rank();
    if (j < kChunk && kept >> j & 1) {
      const int64_t k = count_ + count_bits(kept & bits_below(j));
      if (k < max_output_) indices_[k] = base + j;
      if (k < Workspace<T>::kKept) shared_.kept[k] = chunk[j];
    }
    count_ += count_bits(kept);
    count_ = count_ < max_output_ ? count_ : max_output_;
  }

  const Block& block_;
  Workspace<T>& shared_;
  const Corners<Scalar>& corners_;
  const Present& present_;
  int64_t group_, size_, max_output_, count_ = 0;
  int64_t* indices_;  // of the group
  T threshold_;
  Box<T> next_ = {};  // a thread's own box of the next chunk
  bool next_valid_ = false;
};

// Finds the kept boxes of one group. The whole block, of a multiple of 64 threads, calls.
template <typename T, typename Scalar, typename Block>
HARNESS_DEVICE void walk_group(
    const Block& block, Workspace<T>& shared, const Corners<Scalar>& corners,
    const Present& present, int64_t group, T threshold, int64_t max_output, int64_t* indices,
    int64_t* counts) {
  Walk<T, Scalar, Block> walk(
      block, shared, corners, present, group, present.size, threshold, max_output,
      indices + group * max_output);
  const int64_t count = walk.run();
  if (block.rank() == 0) counts[group] = count;
}

}  // namespace harness::nms
