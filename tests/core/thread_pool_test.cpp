#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "core/floating_point_mode.h"

namespace megalith {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int num_threads : {1, 2, 3, 4}) {
    ThreadPool pool(num_threads);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<std::atomic<int>> hits(97);
      pool.for_each(97, [&](std::int64_t task, int thread) {
        ASSERT_LT(thread, num_threads);
        hits[static_cast<std::size_t>(task)].fetch_add(1);
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, EveryComputingThreadFlushesDenormals) {
  ThreadPool pool(4);
  std::atomic<int> unset{0};
  pool.for_each(1000, [&](std::int64_t, int) { unset += floating_point_mode_is_set() ? 0 : 1; });
  EXPECT_EQ(unset.load(), 0);
}

TEST(ThreadPool, RangesCoverEverythingWithoutOverlap) {
  ThreadPool pool(2);
  std::vector<int> seen(1001, 0);
  pool.for_range(1001, 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
  });
  for (const int count : seen) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace megalith
