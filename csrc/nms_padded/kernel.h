// The body of the CUDA kernel: one block walks the boxes of one group, a chunk at a time.
//
// Each thread compares one box of the chunk with a share of the kept boxes and of the chunk. Then
// every warp finds, by itself and so without a barrier, what is kept of the chunk: in rounds, each
// dropping what the last round's kept boxes suppress. After k rounds the first k boxes are as the
// greedy algorithm leaves them, so a state that a round does not change is the greedy one.
#pragma once

#include "../common/boxes.h"
#include "../common/team.h"
#include "present.h"

#include <cstdint>

namespace harness::nms {

constexpr int kChunk = 64;       // boxes; as many as a word has bits
constexpr int kMostSlices = 16;  // threads for each of them
static_assert(kChunk == 2 * kWarp);

// One for each box of a chunk, in halves that a warp sets at once.
struct Bits {
  uint32_t halves[2];

  HARNESS_HOST_DEVICE uint64_t all() const { return uint64_t(halves[1]) << kWarp | halves[0]; }
};

// In shared memory.
template <typename T>
struct Workspace {
  static constexpr int kKept = 16384 / sizeof(Box<T>);

  // Of one chunk; in turn, so that one is stored while slow threads still look at the last.
  struct Chunk {
    Box<T> boxes[kChunk];
    bool valid[kChunk];
    Bits suppressed;         // by a box that is kept
    Bits earlier[kChunk];  // boxes of the chunk that each might fall to
  };

  Chunk chunks[2];
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
      load(base + kChunk);  // in flight while this chunk is processed
      block_.sync();
      const int lane = block_.warp().lane();
      Chunk& chunk = shared_.chunks[turn];
      const uint64_t valid = ballot(chunk.valid[lane], chunk.valid[lane + kWarp]);
      if (valid) {
        compare(chunk);
        block_.sync();
        keep(resolve(chunk, valid), base, chunk.boxes);
      }
      turn ^= 1;
    }
    for (int64_t k = count_ + block_.rank(); k < max_output_; k += block_.size()) indices_[k] = 0;
    return count_;
  }

 private:
  using Chunk = typename Workspace<T>::Chunk;

  HARNESS_DEVICE void load(int64_t base) {
    const int64_t i = base + block_.rank();
    next_valid_ = block_.rank() < kChunk && i < size_ && present_(group_, i);
    if (next_valid_) next_ = corners_.template load<T>(group_, i);
  }

  HARNESS_DEVICE void store(int64_t turn) {
    const int j = block_.rank();
    if (j >= kChunk) return;
    Chunk& chunk = shared_.chunks[turn];
    chunk.boxes[j] = next_;
    chunk.valid[j] = next_valid_;
    chunk.earlier[j] = {};
    if (j == 0) chunk.suppressed = {};
  }

  // A lane reports on two boxes; bit j is about box j, the same in every warp.
  HARNESS_DEVICE uint64_t ballot(bool low, bool high) const {
    const auto warp = block_.warp();
    const uint64_t bits = warp.ballot(low);
    return bits | uint64_t(warp.ballot(high)) << kWarp;
  }

  HARNESS_DEVICE Box<T> kept_box(int64_t k) const {
    if (k < Workspace<T>::kKept) return shared_.kept[k];
    return corners_.template load<T>(group_, indices_[k]);
  }

  HARNESS_DEVICE void compare(Chunk& chunk) const {
    const int j = block_.rank() % kChunk, slice = block_.rank() / kChunk;
    const int slices = block_.size() / kChunk;
    const Box<T> box = chunk.boxes[j];
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
    uint32_t earlier[2] = {};
    for (int i = slice; i < j; i += slices) {
      earlier[i / kWarp] |= uint32_t(overlaps(chunk.boxes[i])) << i % kWarp;
    }
    for (int half = 0; half < 2; ++half) {
      if (earlier[half]) block_.set_bits(chunk.earlier[j].halves + half, earlier[half]);
    }
    const uint32_t bits = block_.warp().ballot(suppressed);
    if (bits && block_.warp().lane() == 0) block_.set_bits(chunk.suppressed.halves + j / kWarp, bits);
  }

  // The bits of the boxes of the chunk that are kept.
  HARNESS_DEVICE uint64_t resolve(const Chunk& chunk, uint64_t valid) const {
    const int lane = block_.warp().lane();
    const uint64_t alive = valid & ~chunk.suppressed.all();
    const bool low = alive >> lane & 1, high = alive >> (lane + kWarp) & 1;
    const uint64_t before_low = chunk.earlier[lane].all();
    const uint64_t before_high = chunk.earlier[lane + kWarp].all();
    uint64_t kept = alive;
    while (true) {
      const uint64_t survivors =
          ballot(low && !(before_low & kept), high && !(before_high & kept));
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
