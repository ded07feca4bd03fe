// Packing a weight strip by strip, on all threads, giving back what was read where that is asked for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/file.h"
#include "core/thread_pool.h"
#include "device/matmul.h"

namespace megalith::cpu {

// Calls body(strip, thread) for every strip of `columns` rows of w, some 2 MiB at a time.
template <class Body>
void for_packed_strips(const WeightPacking& args, std::int64_t columns, ThreadPool& pool, Body body) {
  constexpr std::int64_t kBytesAtOnce = std::int64_t{2} << 20;
  const Tensor& w = args.w;
  const auto row_bytes = w.columns() * static_cast<std::int64_t>(size_of(w.dtype));
  const std::int64_t strips = (w.rows() + columns - 1) / columns;
  const std::int64_t together =
      std::max<std::int64_t>(kBytesAtOnce / (columns * row_bytes), pool.num_threads());
  for (std::int64_t first = 0; first < strips; first += together) {
    const std::int64_t count = std::min(together, strips - first);
    pool.for_each(count, [&](std::int64_t index, int thread) { body(first + index, thread); });
    if (!args.consume || !w.dense()) continue;
    const std::int64_t row = first * columns;
    const std::int64_t rows = std::min(count * columns, w.rows() - row);
    release_pages({static_cast<const std::byte*>(w.data) + row * row_bytes,
                   static_cast<std::size_t>(rows * row_bytes)});
  }
}

}  // namespace megalith::cpu
