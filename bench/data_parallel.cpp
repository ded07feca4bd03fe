// Two data ranks with one thread each against one rank with two, on the same global batch: tokens per second
// of whole steps with every ZeRO stage, the share of the time in which a rank waits for the other, and the
// share of operations' time that passes beside its work. Ranks are threads of this process.
//   bench_data_parallel [--rounds N] [--json]

#include <memory>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "model_shapes.h"
#include "training_rank.h"
#include "whole_steps.h"

namespace megalith {
namespace {

constexpr int kStages = 4;  // ZeRO 0 to 3

TrainConfig config_of(std::int64_t data, std::int64_t zero) {
  TrainConfig config = bench::training_of(bench::kSmall, 16, 256, 2);
  config.parallel.data = data;
  config.parallel.zero = zero;
  return config;
}

void lead(const bench::Options& options, bench::Report& report, const Dataset& data, bench::Turns& turns) {
  const std::unique_ptr<Device> device = bench::open_device(2);
  const TrainConfig config = config_of(1, 0);
  Trainer alone(config, *device, data);
  std::int64_t next = 0;
  const auto tokens = static_cast<double>(config.tokens_per_step());
  std::vector<bench::Candidate> candidates{{"1 rank, 2 threads", tokens, [&] { alone.run_step(next++); }}};
  for (std::size_t zero = 0; zero < kStages; ++zero) {
    candidates.push_back(
        {fmt::format("2 data ranks, 1 thread each, ZeRO {}", zero), tokens, [&, zero] { turns.step(zero); }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  turns.leave();
  const double reference = tokens / timings[0].best_seconds;
  for (std::size_t i = 0; i < timings.size(); ++i) {
    report.add(candidates[i].name, tokens / timings[i].best_seconds, "tokens/s", i == 0 ? 0 : reference,
               timings[i].median_seconds / timings[i].best_seconds);
  }
  for (std::size_t zero = 0; zero < kStages; ++zero) {
    const bench::TrainingRank& rank = turns.mine(zero);
    report.add(fmt::format("ZeRO {}: waiting, of a step", zero), rank.times.waited / rank.seconds * 100, "%",
               100, 1);
    report.add(fmt::format("ZeRO {}: beside work, of operations' time", zero),
               (1 - rank.times.waited / rank.times.under_way) * 100, "%", 100, 1);
  }
}

void measure(const bench::Options& options, bench::Report& report) {
  const std::unique_ptr<Dataset> data = bench::dataset_of(config_of(1, 0));
  run_ranks(2, [&](Communicator& world) {
    set_floating_point_mode();
    std::vector<std::unique_ptr<bench::TrainingRank>> trainers;
    for (int zero = 0; zero < kStages; ++zero)
      trainers.push_back(std::make_unique<bench::TrainingRank>(config_of(2, zero), *data, world, 1));
    bench::Turns turns(world, std::move(trainers));
    if (world.rank() == 0) return lead(options, report, *data, turns);
    turns.follow();
  });
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Data parallel on two processors, {} kernels", name_of(isa)));
  measure(options, report);
}
