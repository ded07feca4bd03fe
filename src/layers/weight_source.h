// The weights of a stored model, some rows at a time: what is made of them needs no copy of the whole. Called
// from several threads, in any order.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "layers/parameters.h"

namespace megalith {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // to = logical rows [first, first + to.rows()) of a parameter, f32 or rounded to bf16 as refresh_working
  // rounds.
  virtual void read_rows(const Parameter& parameter, std::int64_t first, const Tensor& to) const = 0;
  // Rows [first, first + count) are not read again: memory that they stood in may go.
  virtual void rows_done(const Parameter& parameter, std::int64_t first, std::int64_t count) const = 0;
};

// Fills a parameter's memory: its master or, where inference keeps none, its working weights.
void load_rows(const Parameter& parameter, const WeightSource& source, ThreadPool& pool);

}  // namespace megalith
