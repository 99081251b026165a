// Boxes that a greedy walk has taken so far, as the CPU kernels compare others with them: in blocks
// of lanes, coordinate by coordinate, so that the compiler vectorises the inner loop.
#pragma once

#include "boxes.h"

#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace harness {

template <typename T>
class BoxList {
 public:
  void clear() {
    blocks_.clear();
    size_ = 0;
  }
  int64_t size() const { return size_; }

  void push(const Box<T>& box) {
    const int64_t lane = size_++ % kLanes;
    if (lane == 0) blocks_.emplace_back();
    Block& block = blocks_.back();
    block.x1[lane] = box.x1;
    block.y1[lane] = box.y1;
    block.x2[lane] = box.x2;
    block.y2[lane] = box.y2;
    block.areas[lane] = area(box);
  }

  // f(overlap) for those from `begin` on, in order, whose IoU with the box may exceed the threshold,
  // until f returns true; whether it did.
  template <typename F>
  bool find_overlap(const Box<T>& box, T threshold, int64_t begin, const F& f) const {
    const T box_area = area(box);
    const auto end = static_cast<int64_t>(blocks_.size());
    for (int64_t index = begin / kLanes; index < end; ++index) {
      const Block& block = blocks_[index];
      Flag flags[kLanes];
      if (!block.compare(box, box_area, threshold, flags)) continue;
      const int64_t first = begin - index * kLanes;
      for (int64_t lane = first > 0 ? first : 0; lane < kLanes; ++lane) {
        if (flags[lane] && f(block.overlap_with(box, box_area, lane))) return true;
      }
    }
    return false;
  }

 private:
  static constexpr int64_t kLanes = 32;
  using Flag = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;  // as wide as a lane

  struct Block {
    T x1[kLanes], y1[kLanes], x2[kLanes], y2[kLanes], areas[kLanes];

    // A lane without a box overlaps nothing: its area is NaN.
    Block() {
      for (auto* column : {x1, y1, x2, y2, areas})
        for (int64_t k = 0; k < kLanes; ++k) column[k] = std::numeric_limits<T>::quiet_NaN();
    }

    Overlap<T> overlap_with(const Box<T>& box, T box_area, int64_t k) const {
      return overlap<T>({x1[k], y1[k], x2[k], y2[k]}, areas[k], box, box_area);
    }

    bool compare(const Box<T>& box, T box_area, T threshold, Flag* flags) const {
      Flag any = 0;
      for (int64_t k = 0; k < kLanes; ++k) {
        flags[k] = overlap_with(box, box_area, k).may_exceed(threshold);
        any |= flags[k];
      }
      return any != 0;
    }
  };

  std::vector<Block> blocks_;
  int64_t size_ = 0;
};

}  // namespace harness
