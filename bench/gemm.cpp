// Exact products against the register-only peak of the same kernel family, measured in the same run.
//   bench_gemm [--threads N] [--rounds N] [--json] [part of a name ...]

#include <algorithm>
#include <memory>

#include "core/arena.h"
#include "device/cpu/peak/peak.h"
#include "open_device.h"

namespace megalith {
namespace {

struct Shape {
  std::int64_t tokens, outputs, inputs;
};
constexpr Shape kShapes[] = {{1024, 768, 768},  {1024, 2304, 768}, {1024, 3072, 768},
                             {1024, 768, 3072}, {2048, 256, 256},  {2048, 1024, 256}};

std::unique_ptr<MatmulOps> operations(ThreadPool& pool, cpu::Isa isa) {
  return cpu::make_matmul(pool, isa);
}

void measure(const bench::Options& options, bench::Report& report, ThreadPool& pool, cpu::Isa isa,
             DType dtype, const Shape& shape) {
  Arena arena("operands", static_cast<std::size_t>(shape.outputs * shape.inputs * 16 +
                                                   shape.tokens * 4 * (shape.outputs + shape.inputs)) +
                              4096);
  const Tensor x = arena.allocate(dtype, {shape.tokens, shape.inputs});
  const Tensor w = arena.allocate(dtype, {shape.outputs, shape.inputs});
  const Tensor y = arena.allocate(dtype, {shape.tokens, shape.outputs});
  const Tensor dw = arena.allocate(DType::i64, {shape.outputs, shape.inputs});
  const Tensor dw_f32 = arena.allocate(DType::f32, {shape.outputs, shape.inputs});
  const std::unique_ptr<MatmulOps> ops = operations(pool, isa);
  Verdict verdict;
  const double work = 2.0 * static_cast<double>(shape.tokens * shape.outputs * shape.inputs);
  double peak = 0;
  std::vector<bench::Candidate> candidates = {
      {"forward", work, [&] { ops->forward({.x = x, .w = w, .y = y, .order = {}}); }},
      {"forward, 8 leaves", work, [&] { ops->forward({.x = x, .w = w, .y = y, .order = {.leaves = 8}}); }},
      {"input gradient, 8 leaves", work,
       [&] { ops->input_gradient({.dy = y, .w = w, .dx = x, .order = {.leaves = 8}}); }},
      {"weight gradient, grain 1024", work,
       [&] {
         ops->weight_gradient({.dy = y, .x = x, .dw = dw, .grain = 1024, .shift = 34, .verdict = &verdict});
       }},
      {"weight gradient in f32", work,
       [&] { ops->weight_gradient({.dy = y, .x = x, .dw = dw_f32, .shift = 34, .verdict = &verdict}); }},
      {"peak", 1, [&] { peak = std::max(peak, cpu::measure_peak_flops(pool, isa, dtype)); }}};
  for (bench::Candidate& candidate : candidates) {
    candidate.name = fmt::format("{} {} {}x{}x{} {}", cpu::name_of(isa), name_of(dtype), shape.tokens,
                                 shape.outputs, shape.inputs, candidate.name);
  }
  std::erase_if(candidates,
                [&](const bench::Candidate& c) { return c.work > 1 && !options.names_part_of(c.name); });
  if (candidates.size() == 1) return;
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  for (std::size_t c = 0; c + 1 < candidates.size(); ++c) {
    report.add(candidates[c].name, candidates[c].work / timings[c].best_seconds * 1e-9, "GFLOP/s",
               peak * 1e-9, timings[c].median_seconds / timings[c].best_seconds);
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  ThreadPool pool(bench::threads_of(options));
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Exact products, {} threads", pool.num_threads()));
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const Shape& shape : kShapes) measure(options, report, pool, isa, dtype, shape);
  }
  report.expect_lines(options);
}
