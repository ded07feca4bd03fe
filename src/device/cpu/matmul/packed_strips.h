// Packing a weight strip by strip, on all threads, from its memory or from where its rows come from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "device/matmul.h"

namespace megalith::cpu {

// Bytes of one strip's rows, which a thread has room for where they are read from a source.
inline std::size_t strip_row_bytes(const WeightPacking& args, std::int64_t columns) {
  if (args.rows == nullptr) return 0;
  return static_cast<std::size_t>(columns * args.w.columns()) * size_of(args.w.dtype);
}

// Calls body(strip, rows, thread) for every strip of `columns` rows of w. memory_of(thread):
// strip_row_bytes(). A strip that was read is packed while it is in the cache, so that the whole passes
// memory once each way. Neighbouring strips go to one thread, a huge page of them at a time: two that touch a
// new page at once would both zero it.
template <class MemoryOf, class Body>
void for_packed_strips(const WeightPacking& args, std::int64_t columns, ThreadPool& pool, MemoryOf memory_of,
                       Body body) {
  constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
  constexpr std::int64_t kRunsOfThread = 2;  // at least, so that threads end together
  const Tensor& w = args.w;
  const std::int64_t strip_bytes = columns * w.columns() * static_cast<std::int64_t>(size_of(w.dtype));
  const std::int64_t strips = (w.rows() + columns - 1) / columns;
  const std::int64_t run = std::max<std::int64_t>(
      1, std::min(kHugePage / strip_bytes, strips / (kRunsOfThread * pool.num_threads())));
  pool.for_range(strips, run, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t strip = begin; strip < end; ++strip) {
      const std::int64_t first = strip * columns;
      const std::int64_t count = std::min(columns, w.rows() - first);
      if (args.rows == nullptr) {
        body(strip, w.row_slice(first, count), thread);
      } else {
        const Tensor rows(memory_of(thread), w.dtype, {count, w.columns()});
        args.rows->read(first, rows);
        body(strip, rows, thread);
      }
    }
    const std::int64_t first = begin * columns;
    if (args.rows != nullptr) args.rows->done(first, std::min(end * columns, w.rows()) - first);
  });
}

}  // namespace megalith::cpu
