#include "device/cpu/peak/peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "device/cpu/peak/peak_loops.h"

namespace megalith::cpu {
namespace {

PeakLoop loop_of(Isa isa, DType dtype) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16 && dtype == DType::bf16) return peak_avx512_bf16;
  if (isa == Isa::avx512_bf16 || isa == Isa::avx512) return peak_avx512;
  if (isa == Isa::avx2) return peak_avx2;
#else
  static_cast<void>(isa);
  static_cast<void>(dtype);
#endif
  return peak_portable;
}

CopyLoop copy_loop_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16 || isa == Isa::avx512) return copy_avx512;
  if (isa == Isa::avx2) return copy_avx2;
#else
  static_cast<void>(isa);
#endif
  return copy_portable;
}

}  // namespace

double measure_peak_flops(ThreadPool& pool, Isa isa, DType dtype) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kRounds = 400'000;
  constexpr int kRepeats = 6;
  const PeakLoop loop = loop_of(isa, dtype);
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    double flops = 0;
    const Clock::time_point start = Clock::now();
    pool.for_each(pool.num_threads(), [&](std::int64_t task, int) {
      const double done = loop(kRounds);
      if (task == 0) flops = done;
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, flops * pool.num_threads() / seconds);
  }
  return best;
}

double measure_copy_bandwidth(ThreadPool& pool, Isa isa) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kFloats = 16 << 20;  // 64 MiB of each array
  constexpr std::int64_t kChunk = 1 << 16;
  constexpr int kRepeats = 8;
  const CopyLoop copy = copy_loop_of(isa);
  const std::vector<float> from(kFloats, 1.0f);
  std::vector<float> to(kFloats);
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const Clock::time_point start = Clock::now();
    pool.for_range(kFloats, kChunk, [&](std::int64_t begin, std::int64_t end, int) {
      copy(from.data() + begin, to.data() + begin, end - begin);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * static_cast<double>(kFloats * sizeof(float)) / seconds);
  }
  return best;
}

}  // namespace megalith::cpu
