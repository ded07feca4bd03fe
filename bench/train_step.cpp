// A whole training step, data and optimizer included: tokens per second and the share of the measured peak.
//   bench_train_step [--threads N] [--rounds N] [--json] [gpt2-124m | llama-160m | small | quickstart ...]

#include "model_shapes.h"
#include "open_device.h"
#include "whole_steps.h"

namespace megalith {
namespace {

struct Problem {
  bench::ModelShape shape;
  std::int64_t sequences, sequence;
};
constexpr Problem kProblems[] = {{bench::kGpt2, 4, 1024},
                                 {bench::kLlama160m, 4, 1024},
                                 {bench::kSmall, 16, 256},
                                 {bench::kQuickstart, 8, 256}};

void measure(const bench::Options& options, bench::Report& report, Device& device, const Problem& problem) {
  const TrainConfig config = bench::training_of(problem.shape, problem.sequences, problem.sequence);
  const bench::Timing timing = bench::time_steps(config, device, options);
  const double rate = static_cast<double>(config.tokens_per_step()) / timing.best_seconds;
  const double spread = timing.median_seconds / timing.best_seconds;
  const double flops = static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops);
  report.add(fmt::format("{} {}x{} bf16", problem.shape.name, problem.sequences, problem.sequence), rate,
             "tokens/s", 0, spread);
  report.add(fmt::format("{} model FLOPs (causal half)", problem.shape.name), rate * flops * 1e-9, "GFLOP/s",
             device.peak_flops(DType::bf16) * 1e-9, spread);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const std::unique_ptr<Device> device = bench::open_device(options);
  bench::Report report(options, "Training steps, " + device->description());
  for (const Problem& problem : kProblems) {
    if (options.wants(problem.shape.name)) measure(options, report, *device, problem);
  }
}
