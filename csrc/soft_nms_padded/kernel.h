// The bodies of the CUDA kernels: a team of threads walks one class of an image. Find the best remaining score
// together, take it, lower the rest, repeat. A thread reads and writes only its own scores, each
// kWarp-th or each block-th, and the choice between equal scores is by position, so there is no race
// and the result is deterministic.
#pragma once

#include "../common/team.h"
#include "soft_nms_padded.h"

#include <cstdint>

namespace harness::soft_nms {

template <typename T>
struct Best {
  T score;
  int64_t index;

  HARNESS_DEVICE void keep_better(T other_score, int64_t other_index) {
    if (other_score > score || (other_score == score && other_index < index)) {
      score = other_score;
      index = other_index;
    }
  }
};

// A warp needs no barrier: the best goes round in shuffles.
template <typename T, typename Warp>
struct WarpTeam {
  Warp warp;

  HARNESS_DEVICE int rank() const { return warp.lane(); }
  HARNESS_DEVICE int size() const { return kWarp; }
  HARNESS_DEVICE Best<T> reduce(Best<T> best) const {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
      const T score = warp.shuffle_xor(best.score, mask);
      best.keep_better(score, warp.shuffle_xor(best.index, mask));
    }
    return best;
  }
};

template <typename T, typename Block>
struct BlockTeam {
  Block block;
  Best<T>* shared;  // one a warp

  HARNESS_DEVICE int rank() const { return block.rank(); }
  HARNESS_DEVICE int size() const { return block.size(); }
  HARNESS_DEVICE Best<T> reduce(Best<T> best) const {
    const auto warp = block.warp();
    best = WarpTeam<T, decltype(block.warp())>{warp}.reduce(best);
    block.sync();  // what was shared in the last round has been read
    if (warp.lane() == 0) shared[rank() / kWarp] = best;
    block.sync();
    for (int w = 0; w < size() / kWarp; ++w) best.keep_better(shared[w].score, shared[w].index);
    return best;
  }
};

// Boxes that have a score, close together and in order.
template <typename T>
struct Candidates {
  static constexpr int64_t kBytes = sizeof(Box<T>) + sizeof(T) + sizeof(int32_t);  // each

  Box<T>* boxes;
  T* scores;
  int32_t* sources;  // positions in the group

  HARNESS_DEVICE Candidates(unsigned char* memory, int64_t most)
      : boxes(reinterpret_cast<Box<T>*>(memory)),
        scores(reinterpret_cast<T*>(boxes + most)),
        sources(reinterpret_cast<int32_t*>(scores + most)) {}
  HARNESS_DEVICE Box<T> box(int64_t i) const { return boxes[i]; }
  HARNESS_DEVICE int64_t source(int64_t i) const { return sources[i]; }
};

// The boxes of a class where they are.
template <typename T, typename Scalar>
struct Everything {
  const Class<T, Scalar>& own;
  T* scores;

  HARNESS_DEVICE Box<T> box(int64_t i) const { return own.box(i); }
  HARNESS_DEVICE int64_t source(int64_t i) const { return i; }
};

// Where there is a lot to take, each step lowers scores and looks for the next best at once.
template <typename T, typename Team, typename Store, typename Decay, typename Scalar>
HARNESS_DEVICE void walk(
    const Team& team, const Store& store, int64_t count, const Decay& decay, Scalar* result) {
  Best<T> best{T(0), count};
  for (int64_t i = team.rank(); i < count; i += team.size()) best.keep_better(store.scores[i], i);
  while (true) {
    const Best<T> taken = team.reduce(best);
    if (!(taken.score > T(0))) return;
    const Box<T> box = store.box(taken.index);
    const T box_area = area(box);
    best = {T(0), count};
    for (int64_t i = team.rank(); i < count; i += team.size()) {
      if (i == taken.index) {
        result[store.source(i)] = static_cast<Scalar>(taken.score);
        store.scores[i] = T(0);
      } else if (store.scores[i] > T(0)) {
        const Box<T> other = store.box(i);
        store.scores[i] = decay(store.scores[i], overlap(box, box_area, other, area(other)));
        best.keep_better(store.scores[i], i);
      }
    }
  }
}

// One warp, with room for all boxes of a class in shared memory.
template <typename T, typename Scalar, typename Decay, typename Warp>
HARNESS_DEVICE void walk_in_shared(
    const Warp& warp, const Candidates<T>& candidates, const Classes<T, Scalar>& classes,
    int64_t index, const Decay& decay, Scalar* output) {
  const Class<T, Scalar> own = classes[index];
  output += index * own.size;
  int64_t count = 0;
  for (int64_t base = 0; base < own.size; base += kWarp) {
    const int64_t i = base + warp.lane();
    const T score = own.score(i);
    const bool alive = score > T(0);
    const uint32_t bits = warp.ballot(alive);
    if (alive) {
      const int64_t at = count + count_bits(bits & bits_below(warp.lane()));
      candidates.boxes[at] = own.box(i);
      candidates.scores[at] = score;
      candidates.sources[at] = static_cast<int32_t>(i);
    }
    if (i < own.size) output[i] = static_cast<Scalar>(T(0));
    count += count_bits(bits);
  }
  warp.sync();  // candidates and zeros are another lane's from here on
  walk<T>(WarpTeam<T, Warp>{warp}, candidates, count, decay, output);
}

// One block, for classes of any size. `remaining` has room for the scores of all classes.
template <typename T, typename Scalar, typename Decay, typename Block>
HARNESS_DEVICE void walk_in_global(
    const Block& block, Best<T>* shared, const Classes<T, Scalar>& classes, int64_t index,
    const Decay& decay, T* remaining, Scalar* output) {
  const Class<T, Scalar> own = classes[index];
  remaining += index * own.size;
  output += index * own.size;
  for (int64_t i = block.rank(); i < own.size; i += block.size()) {
    remaining[i] = own.score(i);
    output[i] = static_cast<Scalar>(T(0));
  }
  const Everything<T, Scalar> store{own, remaining};
  walk<T>(BlockTeam<T, Block>{block, shared}, store, own.size, decay, output);
}

}  // namespace harness::soft_nms
