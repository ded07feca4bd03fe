// Tokens per second of a training step against model size, batch, sequence and threads, beside the roofline:
// a step takes at least its model FLOPs at the peak of the multiply-add units, and at least the traffic of
// its weights, gradients and optimizer state at the bandwidth of a copy.
//   bench_scaling [--threads N: that number only] [--rounds N] [--json] [1M | 5M | 25M | 124M | 350M | 1B
//   ...]
// bench/scaling_picture.py draws what --json prints. Without names all but 1B are run, which needs 24 GiB.

#include <algorithm>

#include "device/cpu/cpu_device.h"
#include "harness.h"
#include "train/trainer.h"

namespace megalith {
namespace {

struct Size {
  const char* name;
  std::int64_t layers, hidden, heads, vocabulary;
};
constexpr Size kSizes[] = {{"1M", 4, 128, 2, 2048},       {"5M", 4, 256, 4, 4096},
                           {"25M", 6, 512, 8, 8192},      {"124M", 12, 768, 12, 50257},
                           {"350M", 24, 1024, 16, 50257}, {"1B", 24, 1792, 14, 50257}};

struct Batch {
  std::int64_t sequences, sequence;
};
constexpr Batch kBatches[] = {{1, 256}, {8, 256}, {1, 1024}, {4, 1024}};

// Of every parameter in a step: gradient zeroed 8, added to 16, read for the norm 8 and by AdamW 8; master
// and moments read and written 24, read for the digest 4; working weight written 2 and read twice 4.
constexpr double kBytesPerParameter = 74;

TrainConfig config_of(const Size& size, const Batch& batch) {
  TrainConfig config;
  config.model.layers = size.layers;
  config.model.hidden = size.hidden;
  config.model.heads = size.heads;
  config.model.sequence = batch.sequence;
  config.model.vocabulary = size.vocabulary;
  config.batch.sequence = batch.sequence;
  config.batch.global = batch.sequences;
  config.batch.micro = batch.sequences;
  resolve(config);
  return config;
}

void measure(const bench::Options& options, bench::Report& report, Device& device, const Size& size,
             const Batch& batch, double bandwidth) {
  constexpr double kMostFlops = 8e12;  // of a step: some fifteen seconds on two cores
  const TrainConfig config = config_of(size, batch);
  const auto tokens = static_cast<double>(config.tokens_per_step());
  const double flops =
      tokens * static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops);
  if (flops > kMostFlops) return;
  const double least_seconds =
      std::max(flops / device.peak_flops(DType::bf16),
               kBytesPerParameter * static_cast<double>(parameter_count(config.model)) / bandwidth);
  const std::unique_ptr<Dataset> data =
      make_synthetic_dataset(size.vocabulary, batch.sequence, config.seed, false);
  Trainer trainer(config, device, *data);
  std::int64_t step = 0;
  const int rounds = flops > 1e12 ? std::min(options.rounds, 3) : options.rounds;
  const std::vector<bench::Timing> timings =
      bench::take_turns({{size.name, tokens, [&] { trainer.run_step(step++); }}}, rounds);
  report.add(fmt::format("{} ({} parameters) {}x{} {} thread{}", size.name, parameter_count(config.model),
                         batch.sequences, batch.sequence, device.num_threads(),
                         device.num_threads() == 1 ? "" : "s"),
             tokens / timings[0].best_seconds, "tokens/s", tokens / least_seconds,
             timings[0].median_seconds / timings[0].best_seconds);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, "Training steps by size, share of the roofline, bf16");
  const int most = options.threads > 0 ? options.threads : usable_processors();
  for (int threads = options.threads > 0 ? options.threads : 1; threads <= most; threads *= 2) {
    const std::unique_ptr<Device> device = cpu::make_device(threads, isa);
    const double bandwidth = device->copy_bandwidth();
    for (const Size& size : kSizes) {
      const std::string name = size.name;
      const bool too_long = options.rest.empty() && name == "1B";
      if (too_long || !options.wants(name)) continue;
      for (const Batch& batch : kBatches) measure(options, report, *device, size, batch, bandwidth);
    }
  }
}
