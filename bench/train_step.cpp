// A whole training step, data and optimizer included: tokens per second and the share of the measured peak.
//   bench_train_step [--threads N] [--rounds N] [--json] [gpt2-124m | llama-160m | small | quickstart ...]

#include <algorithm>

#include "device/cpu/cpu_device.h"
#include "harness.h"
#include "train/trainer.h"

namespace megalith {
namespace {

struct Problem {
  const char* name;
  std::int64_t layers, hidden, heads, sequence, vocabulary, sequences;
  std::int64_t gated;  // inner width of the gated feed-forward part of a Llama, 0: a GPT-2
};
constexpr Problem kProblems[] = {
    {"gpt2-124m", 12, 768, 12, 1024, 50257, 4, 0},
    {"llama-160m", 12, 768, 12, 1024, 32000, 4, 3072},
    {"small", 6, 384, 6, 256, 4096, 16, 0},
    {"quickstart", 4, 256, 4, 256, 4096, 8, 0},
};

TrainConfig config_of(const Problem& problem) {
  TrainConfig config;
  config.model.layers = problem.layers;
  config.model.hidden = problem.hidden;
  config.model.heads = problem.heads;
  config.model.sequence = problem.sequence;
  config.model.vocabulary = problem.vocabulary;
  if (problem.gated > 0) {
    config.model.feed_forward = problem.gated;
    config.model.norm = Norm::rms;
    config.model.positions = Positions::rotary;
    config.model.activation = Activation::swiglu;
    config.model.biases = false;
    config.model.tied_output = false;
  }
  config.batch.global = problem.sequences;
  config.batch.micro = problem.sequences;
  resolve(config);
  return config;
}

void measure(const bench::Options& options, bench::Report& report, Device& device, const Problem& problem) {
  const TrainConfig config = config_of(problem);
  const std::unique_ptr<Dataset> data =
      make_synthetic_dataset(problem.vocabulary, problem.sequence, config.seed, false);
  Trainer trainer(config, device, *data);
  const auto tokens = static_cast<double>(config.tokens_per_step());
  std::int64_t step = 0;
  const std::vector<bench::Timing> timings =
      bench::take_turns({{problem.name, tokens, [&] { trainer.run_step(step++); }}}, options.rounds);
  const double rate = tokens / timings[0].best_seconds;
  const double spread = timings[0].median_seconds / timings[0].best_seconds;
  const double flops = static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops);
  report.add(fmt::format("{} {}x{} bf16", problem.name, problem.sequences, problem.sequence), rate,
             "tokens/s", 0, spread);
  report.add(fmt::format("{} model FLOPs (causal half)", problem.name), rate * flops * 1e-9, "GFLOP/s",
             device.peak_flops(DType::bf16) * 1e-9, spread);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  const std::unique_ptr<Device> device =
      cpu::make_device(options.threads > 0 ? options.threads : usable_processors(), isa);
  bench::Report report(options, "Training steps, " + device->description());
  for (const Problem& problem : kProblems) {
    if (options.wants(problem.name)) measure(options, report, *device, problem);
  }
}
