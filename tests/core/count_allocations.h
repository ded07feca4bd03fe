// Counts heap allocations of this program, for what is promised to allocate nothing once it runs: run it once
// to warm up, then watch. Needs core/count_allocations.cpp among the program's sources.
#pragma once

#include <atomic>
#include <cstdint>

namespace megalith::test {
extern std::atomic<std::int64_t> allocations;
}  // namespace megalith::test
