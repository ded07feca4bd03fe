// Two data ranks with one thread each against one rank with two, on the same global batch: tokens per second
// of whole steps with every ZeRO stage, the share of the time in which a rank waits for the other, and the
// share of operations' time that passes beside its work. Ranks are threads of this process. The same with
// numerics.mode "fast", and exact beside it: what equal bits cost.
//   bench_data_parallel [--rounds N] [--json] [sequences of a micro batch, which is then one grain]

#include <cstdlib>
#include <memory>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "model_shapes.h"
#include "training_rank.h"
#include "whole_steps.h"

namespace megalith {
namespace {

constexpr std::int64_t kSequences = 16, kSequence = 256;
constexpr std::size_t kStages = 4;              // ZeRO 0 to 3
constexpr std::size_t kVariants = 2 * kStages;  // in exact, then in fast

struct MicroBatches {
  std::int64_t sequences = 2;
  std::int64_t grain = kSequence;
};

std::string name_of(std::size_t variant) {
  return fmt::format("ZeRO {}{}", variant % kStages, variant < kStages ? "" : ", fast");
}

TrainConfig config_of(const MicroBatches& micro, std::int64_t data, std::size_t variant) {
  TrainConfig config = bench::training_of(bench::kSmall, kSequences, kSequence, micro.sequences);
  config.numerics.mode = variant < kStages ? NumericsMode::exact : NumericsMode::fast;
  config.numerics.grain = micro.grain;
  config.parallel.data = data;
  config.parallel.zero = static_cast<std::int64_t>(variant % kStages);
  return config;
}

void lead(const bench::Options& options, bench::Report& report, const TrainConfig& config,
          const Dataset& data, bench::Turns& turns) {
  const std::unique_ptr<Device> device = bench::open_device(2);
  Trainer alone(config, *device, data);
  std::int64_t next = 0;
  const auto tokens = static_cast<double>(config.tokens_per_step());
  std::vector<bench::Candidate> candidates{{"1 rank, 2 threads", tokens, [&] { alone.run_step(next++); }}};
  for (std::size_t variant = 0; variant < kVariants; ++variant) {
    candidates.push_back(
        {"2 data ranks, 1 thread each, " + name_of(variant), tokens, [&, variant] { turns.step(variant); }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  turns.leave();
  const auto rate = [&](std::size_t i) { return tokens / timings[i].best_seconds; };
  const auto spread = [&](std::size_t i) { return timings[i].median_seconds / timings[i].best_seconds; };
  for (std::size_t i = 0; i < timings.size(); ++i)
    report.add(candidates[i].name, rate(i), "tokens/s", i == 0 ? 0 : rate(0), spread(i));
  for (std::size_t i = 1; i <= kStages; ++i)
    report.add(name_of(i - 1) + ": exact beside fast", rate(i), "tokens/s", rate(i + kStages), spread(i));
  for (std::size_t variant = 0; variant < kVariants; ++variant) {
    const bench::TrainingRank& rank = turns.mine(variant);
    report.add(name_of(variant) + ": waiting, of a step", rank.times.waited / rank.seconds * 100, "%", 100,
               1);
    report.add(name_of(variant) + ": beside work, of operations' time",
               (1 - rank.times.waited / rank.times.under_way) * 100, "%", 100, 1);
  }
}

void measure(const bench::Options& options, bench::Report& report, const MicroBatches& micro) {
  const TrainConfig alone = config_of(micro, 1, 0);
  const std::unique_ptr<Dataset> data = bench::dataset_of(alone);
  run_ranks(2, [&](Communicator& world) {
    set_floating_point_mode();
    std::vector<std::unique_ptr<bench::TrainingRank>> trainers;
    for (std::size_t variant = 0; variant < kVariants; ++variant) {
      trainers.push_back(
          std::make_unique<bench::TrainingRank>(config_of(micro, 2, variant), *data, world, 1));
    }
    bench::Turns turns(world, std::move(trainers));
    if (world.rank() == 0) return lead(options, report, alone, *data, turns);
    turns.follow();
  });
}

MicroBatches micro_batches_of(const bench::Options& options) {
  if (options.rest.empty()) return {};
  const std::int64_t sequences = std::atoi(options.rest.front().c_str());
  if (sequences < 1 || kSequences / 2 % sequences != 0)
    bench::refuse(options.rest.front(), fmt::format("a divisor of a rank's {} sequences", kSequences / 2));
  return {.sequences = sequences, .grain = sequences * kSequence};
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const MicroBatches micro = micro_batches_of(options);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options,
                       fmt::format("Data parallel on two processors, {} kernels", cpu::name_of(isa)));
  measure(options, report, micro);
}
