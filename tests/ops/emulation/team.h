// Emulated threads for the bodies of CUDA kernels: the Warp and the Block of csrc/common/team.h.
//
// A crew runs them. FiberCrew takes turns in one thread and decides at random who goes next, so an
// order that a GPU hardly ever shows is as likely as any other; it also notices when some wait for
// others that have left. ThreadCrew runs real threads, for a race detector to watch.
#pragma once

#include "../../../csrc/common/team.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <ucontext.h>

namespace harness::emulation {

class Crew {
 public:
  virtual ~Crew() = default;
  // Waits for the threads first..first + count - 1; orders memory, as __syncthreads does.
  virtual void sync(int rank, int first, int count) = 0;
  // The same wait, without ordering memory: what __ballot_sync and shuffles promise.
  virtual void meet(int rank, int first, int count) = 0;
  // Calls body(rank) on each.
  virtual void run(int size, const std::function<void(int)>& body) = 0;

  std::array<std::atomic<uint64_t>, 1024> slots{};  // what the threads tell each other
};

struct Warp {
  Crew* crew;
  int rank;

  int first() const { return rank - rank % kWarp; }
  int lane() const { return rank % kWarp; }
  void sync() const { crew->sync(rank, first(), kWarp); }

  uint32_t ballot(bool flag) const {
    tell(flag);
    uint32_t bits = 0;
    for (int lane = 0; lane < kWarp; ++lane) bits |= static_cast<uint32_t>(hear(lane)) << lane;
    crew->meet(rank, first(), kWarp);
    return bits;
  }

  template <typename T>
  T shuffle_xor(T value, int mask) const {
    return shuffle(value, lane() ^ mask);
  }

  template <typename T>
  T shuffle(T value, int from) const {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    tell(bits);
    bits = hear(from);
    crew->meet(rank, first(), kWarp);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
  }

 private:
  void tell(uint64_t bits) const {
    crew->slots[rank].store(bits, std::memory_order_relaxed);
    crew->meet(rank, first(), kWarp);
  }
  uint64_t hear(int lane) const {
    return crew->slots[first() + lane].load(std::memory_order_relaxed);
  }
};

struct Block {
  Crew* crew;
  int own_rank, own_size;

  int rank() const { return own_rank; }
  int size() const { return own_size; }
  void sync() const { crew->sync(own_rank, 0, own_size); }
  Warp warp() const { return {crew, own_rank}; }

  uint32_t fetch_add(uint32_t* place, uint32_t value) const {
    return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
  }
  void set_bits(uint32_t* place, uint32_t bits) const {
    __atomic_fetch_or(place, bits, __ATOMIC_RELAXED);
  }

  template <typename T>
  void add(T* place, T value) const {
    // Whole words, so that a race detector sees the one kind of access that may collide.
    using Word = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    auto* word = reinterpret_cast<Word*>(place);
    Word old = __atomic_load_n(word, __ATOMIC_RELAXED), sum;
    do {
      T current;
      std::memcpy(&current, &old, sizeof(T));
      current += value;
      std::memcpy(&sum, &current, sizeof(T));
    } while (!__atomic_compare_exchange_n(word, &old, sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  }
};

// A barrier for each warp and one for the block: arrivals are counted, and the last lets all go.
struct Gate {
  int arrived = 0;
  uint64_t opened = 0;
};

inline int gate_of(int first, int count) { return count == kWarp ? 1 + first / kWarp : 0; }

class FiberCrew : public Crew {
 public:
  explicit FiberCrew(uint64_t seed) : random_(seed) {}

  void sync(int rank, int first, int count) override { meet(rank, first, count); }

  void meet(int rank, int first, int count) override {
    Gate& gate = gates_[gate_of(first, count)];
    if (++gate.arrived == count) {
      gate.arrived = 0;
      for (int other = first; other < first + count; ++other)
        if (other != rank) ready_.push_back(other);
      return;
    }
    swapcontext(&fibers_[rank].context, &home_);
  }

  void run(int size, const std::function<void(int)>& body) override {
    body_ = &body;
    fibers_.resize(size);
    gates_.assign(1 + size / kWarp, Gate());
    ready_.clear();
    for (int rank = 0; rank < size; ++rank) start(rank);
    finished_ = 0;
    while (!ready_.empty()) {
      std::swap(ready_[random_() % ready_.size()], ready_.back());
      current_ = ready_.back();
      ready_.pop_back();
      swapcontext(&home_, &fibers_[current_].context);
    }
    if (finished_ != size) throw std::runtime_error("threads wait for others that have left");
  }

 private:
  struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
  };

  void start(int rank) {
    ucontext_t& context = fibers_[rank].context;
    getcontext(&context);
    context.uc_stack.ss_sp = fibers_[rank].stack.data();
    context.uc_stack.ss_size = fibers_[rank].stack.size();
    context.uc_link = &home_;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(
        &context, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(self >> 32),
        static_cast<unsigned>(self));
    ready_.push_back(rank);
  }

  static void enter(unsigned high, unsigned low) {
    auto* crew = reinterpret_cast<FiberCrew*>(static_cast<uintptr_t>(high) << 32 | low);
    (*crew->body_)(crew->current_);
    ++crew->finished_;
  }

  std::mt19937_64 random_;
  const std::function<void(int)>* body_ = nullptr;
  std::vector<Fiber> fibers_;
  std::vector<Gate> gates_;
  std::vector<int> ready_;
  ucontext_t home_;
  int current_ = 0, finished_ = 0;
};

class ThreadCrew : public Crew {
 public:
  void sync(int, int first, int count) override {
    std::unique_lock lock(mutex_);
    Gate& gate = gates_[gate_of(first, count)];
    if (++gate.arrived == count) {
      gate.arrived = 0;
      ++gate.opened;
      opened_.notify_all();
      return;
    }
    opened_.wait(lock, [&, turn = gate.opened] { return gate.opened != turn; });
  }

  // Relaxed atomics: a race detector must not take this for an order of memory.
  void meet(int, int first, int count) override {
    Counter& counter = counters_[gate_of(first, count)];
    const uint64_t turn = counter.arrived.fetch_add(1, std::memory_order_relaxed) / count;
    while (counter.arrived.load(std::memory_order_relaxed) / count == turn)
      std::this_thread::yield();
  }

  void run(int size, const std::function<void(int)>& body) override {
    gates_.assign(1 + size / kWarp, Gate());
    counters_ = std::vector<Counter>(1 + size / kWarp);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) threads.emplace_back([&, rank] { body(rank); });
    for (auto& thread : threads) thread.join();
  }

 private:
  struct Counter {
    std::atomic<uint64_t> arrived{0};
  };

  std::mutex mutex_;
  std::condition_variable opened_;
  std::vector<Gate> gates_;
  std::vector<Counter> counters_;
};

}  // namespace harness::emulation
