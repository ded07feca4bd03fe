#include "layers/weight_source.h"

#include <algorithm>

namespace megalith {

void load_rows(const Parameter& parameter, const WeightSource& source, ThreadPool& pool) {
  constexpr std::int64_t kElementsAtOnce = std::int64_t{1} << 20;  // a huge page of bf16
  const Tensor& memory = parameter.master.empty() ? parameter.working : parameter.master;
  const std::int64_t rows = parameter.spec.rows, columns = parameter.spec.columns;
  const std::int64_t together = std::max<std::int64_t>(kElementsAtOnce / columns, 1);
  pool.for_range(rows, together, [&](std::int64_t begin, std::int64_t end, int) {
    source.read_rows(parameter, begin, memory.row_slice(begin, end - begin));
    source.rows_done(parameter, begin, end - begin);
  });
}

}  // namespace megalith
