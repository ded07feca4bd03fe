// Writers that tell each other texts: as threads of this process, or as processes around shared memory.
#pragma once

#include <sched.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "run/checkpoint.h"

namespace megalith::test {

class ThreadTexts {
 public:
  explicit ThreadTexts(int writers) : texts_(static_cast<std::size_t>(writers)), barrier_(writers) {}

  GatherTexts of(int writer) {
    return [this, writer](const std::string& mine) {
      texts_[static_cast<std::size_t>(writer)] = mine;
      barrier_.arrive_and_wait();
      std::vector<std::string> all = texts_;
      barrier_.arrive_and_wait();
      return all;
    };
  }

 private:
  std::vector<std::string> texts_;
  std::barrier<> barrier_;
};

// Memory that forked processes share. Who waits for a dead one waits until it is killed, as the test does.
class ProcessTexts {
 public:
  static constexpr int kMostWriters = 8;
  static constexpr std::size_t kMostBytes = 1 << 16;

  explicit ProcessTexts(int writers) : writers_(writers) {
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MEGALITH_CHECK(memory != MAP_FAILED);
    shared_ = new (memory) Shared();
  }
  ~ProcessTexts() { ::munmap(shared_, sizeof(Shared)); }
  ProcessTexts(const ProcessTexts&) = delete;
  ProcessTexts& operator=(const ProcessTexts&) = delete;

  GatherTexts of(int writer) {
    return [this, writer](const std::string& mine) {
      MEGALITH_CHECK(mine.size() < kMostBytes);
      Slot& slot = shared_->slots[static_cast<std::size_t>(writer)];
      std::memcpy(slot.bytes.data(), mine.data(), mine.size());
      slot.size = mine.size();
      arrive();
      std::vector<std::string> all;
      for (int w = 0; w < writers_; ++w) {
        const Slot& of = shared_->slots[static_cast<std::size_t>(w)];
        all.emplace_back(of.bytes.data(), of.size);
      }
      arrive();
      return all;
    };
  }

 private:
  struct Slot {
    std::size_t size = 0;
    std::array<char, kMostBytes> bytes{};
  };
  struct Shared {
    std::atomic<std::int64_t> arrivals{0};
    std::array<Slot, kMostWriters> slots{};
  };

  void arrive() {
    const std::int64_t round = shared_->arrivals.fetch_add(1) / writers_ + 1;
    while (shared_->arrivals.load() < round * writers_) ::sched_yield();
  }

  int writers_;
  Shared* shared_ = nullptr;
};

}  // namespace megalith::test
