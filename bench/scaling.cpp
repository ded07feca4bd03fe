// Tokens per second of a training step against model size, batch, sequence and threads, beside the roofline:
// a step takes at least its model FLOPs at the peak of the multiply-add units, and at least the traffic of
// its weights, gradients and optimizer state at the bandwidth of a copy.
//   bench_scaling [--threads N: that number only] [--rounds N] [--seconds N] [--json] [SIZE ...] [BATCH ...]
//   bench_scaling list            sizes, batches and their memory, which is known before anything is
//   allocated
// A model whose optimizer does not fit into the memory that is free runs forward and backward alone, and says
// so; what does not fit at all, or takes more than 20 seconds a step, is left out and told.
// bench/scaling_picture.py runs every point by itself and draws what --json prints.

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "forward_backward.h"
#include "model_shapes.h"
#include "open_device.h"
#include "train/rank_plan.h"
#include "whole_steps.h"

namespace megalith {
namespace {

constexpr bench::ModelShape kShapes[] = {{"1M", 4, 128, 2, 2048},       {"5M", 4, 256, 4, 4096},
                                         {"25M", 6, 512, 8, 8192},      {"124M", 12, 768, 12, 50257},
                                         {"350M", 24, 1024, 16, 50257}, {"1B", 24, 1792, 14, 50257}};

struct Batch {
  const char* name;
  std::int64_t sequences, sequence;
};
constexpr Batch kBatches[] = {{"1x256", 1, 256}, {"8x256", 8, 256}, {"1x1024", 1, 1024}, {"4x1024", 4, 1024}};

// Of every parameter in a step: gradient zeroed 8, added to 16, read for the norm 8 and by AdamW 8; master
// and moments read and written 24, read for the digest 4; working weight written 2 and read twice 4.
constexpr double kBytesOfStep = 74;
constexpr double kBytesOfPasses = 20;    // forward and backward alone
constexpr double kMostSeconds = 20;      // of a step
constexpr double kSecondsOfRounds = 10;  // where --seconds says nothing else
constexpr double kLeftFree = 1e9;        // bytes of memory for others

// Bytes that this machine can give without taking them from anybody.
double free_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    double kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

double bytes_of_step(const TrainConfig& config) {
  return static_cast<double>(measure_rank(config, Mesh()).bytes());
}
// Moments are laid out there and never touched.
double bytes_of_passes(const TrainConfig& config) {
  const MicroBatchNeeds needs = bench::ForwardBackward::measure(config);
  return static_cast<double>(needs.parameter_bytes + needs.stash_bytes + needs.workspace_bytes) -
         8.0 * static_cast<double>(parameter_count(config.model));
}

bench::Timing time_passes(const TrainConfig& config, Device& device, const bench::Options& options) {
  bench::ForwardBackward work(config, device);
  return bench::take_turns({{"passes", 1, [&] { work.run(); }}}, options)[0];
}

void measure(const bench::Options& options, bench::Report& report, Device& device,
             const bench::ModelShape& shape, const Batch& batch, double bandwidth) {
  const TrainConfig config = bench::training_of(shape, batch.sequences, batch.sequence);
  const auto parameters = static_cast<double>(parameter_count(config.model));
  const auto tokens = static_cast<double>(config.tokens_per_step());
  const bool whole = bytes_of_step(config) < free_memory() - kLeftFree;
  const std::string name =
      fmt::format("{} ({:.0f} parameters) {} {} thread{}{}", shape.name, parameters, batch.name,
                  device.num_threads(), device.num_threads() == 1 ? "" : "s", whole ? "" : ", no optimizer");
  if (!whole && bytes_of_passes(config) > free_memory() - kLeftFree) {
    return report.skip(name, fmt::format("{:.1f} GB without the optimizer, and {:.1f} GB are free",
                                         bytes_of_passes(config) * 1e-9, free_memory() * 1e-9));
  }
  const double flops =
      tokens * static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops);
  const double least_seconds = std::max(flops / device.peak_flops(DType::bf16),
                                        (whole ? kBytesOfStep : kBytesOfPasses) * parameters / bandwidth);
  if (least_seconds > kMostSeconds) {
    return report.skip(name, fmt::format("a step takes {:.0f} s or more, and {:.0f} are allowed",
                                         least_seconds, options.seconds));
  }
  const bench::Timing timing =
      whole ? bench::time_steps(config, device, options) : time_passes(config, device, options);
  report.add(name, tokens / timing.best_seconds, "tokens/s", tokens / least_seconds,
             timing.median_seconds / timing.best_seconds);
}

// Names in `options` that are among these, or all of these where none is.
template <class Named, std::size_t kCount>
std::vector<Named> chosen(const bench::Options& options, const Named (&all)[kCount]) {
  std::vector<Named> named;
  for (const Named& one : all) {
    if (!options.rest.empty() && options.wants(one.name)) named.push_back(one);
  }
  return named.empty() ? std::vector<Named>(std::begin(all), std::end(all)) : named;
}

void check_names(const bench::Options& options) {
  std::vector<std::string> allowed;
  for (const bench::ModelShape& shape : kShapes) allowed.emplace_back(shape.name);
  for (const Batch& batch : kBatches) allowed.emplace_back(batch.name);
  for (const std::string& name : options.rest) {
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      bench::refuse(name, fmt::format("list, {}", fmt::join(allowed, ", ")));
  }
}

void list() {
  for (const bench::ModelShape& shape : kShapes) {
    for (const Batch& batch : kBatches) {
      const TrainConfig config = bench::training_of(shape, batch.sequences, batch.sequence);
      fmt::print("{} {}: {} parameters, {:.2f} GB, without optimizer {:.2f} GB\n", shape.name, batch.name,
                 parameter_count(config.model), bytes_of_step(config) * 1e-9, bytes_of_passes(config) * 1e-9);
    }
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  bench::Options options = bench::parse_options(argc, argv);
  if (options.seconds == 0) options.seconds = kSecondsOfRounds;
  if (options.rest == std::vector<std::string>{"list"}) {
    list();
    return 0;
  }
  check_names(options);
  bench::Report report(options, "Training steps by size, share of the roofline, bf16");
  const int most = bench::threads_of(options);
  for (int threads = options.threads > 0 ? most : 1; threads <= most; threads *= 2) {
    const std::unique_ptr<Device> device = bench::open_device(threads);
    const double bandwidth = device->copy_bandwidth();
    for (const bench::ModelShape& shape : chosen(options, kShapes)) {
      for (const Batch& batch : chosen(options, kBatches))
        measure(options, report, *device, shape, batch, bandwidth);
    }
  }
}
