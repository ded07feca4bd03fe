// What equal bits in every layout cost: whole training steps with numerics.mode "exact", at several grains,
// beside the same steps with "fast", taking turns. A model's batch is one micro batch.
//   bench_exact_price [--threads N] [--rounds N] [--seconds S] [--json] [small | quickstart | gpt2-124m ...]
//   [GRAIN ...]

#include <array>
#include <charconv>
#include <memory>

#include "model_shapes.h"
#include "open_device.h"
#include "whole_steps.h"

namespace megalith {
namespace {

struct Problem {
  bench::ModelShape shape;
  std::int64_t sequences, sequence;
};
constexpr Problem kProblems[] = {
    {bench::kSmall, 16, 256}, {bench::kQuickstart, 8, 256}, {bench::kGpt2, 4, 1024}};
constexpr std::int64_t kGrains[] = {256, 512, 1024, 4096};

TrainConfig config_of(const Problem& problem, NumericsMode mode, std::int64_t grain) {
  TrainConfig config = bench::training_of(problem.shape, problem.sequences, problem.sequence);
  config.numerics.mode = mode;
  config.numerics.grain = grain;
  return config;
}

// Both modes at one grain, and no more at once: two trainers of the largest model take 12 GB.
void measure(const bench::Options& options, bench::Report& report, Device& device, const Problem& problem,
             std::int64_t grain) {
  const TrainConfig exact_config = config_of(problem, NumericsMode::exact, grain);
  const std::unique_ptr<Dataset> data = bench::dataset_of(exact_config);
  Trainer fast(config_of(problem, NumericsMode::fast, grain), device, *data);
  Trainer exact(exact_config, device, *data);
  const auto tokens = static_cast<double>(exact_config.tokens_per_step());
  std::int64_t fast_step = 0, exact_step = 0;
  const std::vector<bench::Timing> timings =
      bench::take_turns({{"fast", tokens, [&] { fast.run_step(fast_step++); }},
                         {"exact", tokens, [&] { exact.run_step(exact_step++); }}},
                        options);
  const double reference = tokens / timings[0].best_seconds;
  const std::array<const char*, 2> modes{"fast", "exact"};
  for (std::size_t i = 0; i < modes.size(); ++i) {
    report.add(fmt::format("{} {}x{} grain {} {}", problem.shape.name, problem.sequences, problem.sequence,
                           grain, modes[i]),
               tokens / timings[i].best_seconds, "tokens/s", i == 0 ? 0 : reference,
               timings[i].median_seconds / timings[i].best_seconds);
  }
}

// Takes the numbers out of what stands on the command line.
std::vector<std::int64_t> grains_in(std::vector<std::string>& words) {
  std::vector<std::int64_t> grains;
  std::erase_if(words, [&](const std::string& word) {
    std::int64_t grain = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), grain);
    if (error != std::errc() || end != word.data() + word.size() || grain < 1) return false;
    grains.push_back(grain);
    return true;
  });
  if (grains.empty()) grains.assign(std::begin(kGrains), std::end(kGrains));
  return grains;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  bench::Options options = bench::parse_options(argc, argv);
  const std::vector<std::int64_t> grains = grains_in(options.rest);
  const std::unique_ptr<Device> device = bench::open_device(options);
  bench::Report report(options, "What exact costs, " + device->description());
  for (const Problem& problem : kProblems) {
    const std::int64_t tokens = problem.sequences * problem.sequence;
    for (const std::int64_t grain : grains) {
      if (!options.wants(problem.shape.name)) continue;
      const bool whole = grain % problem.sequence == 0 || problem.sequence % grain == 0;
      if (whole && grain % kBiasBlock == 0 && tokens % grain == 0) {
        measure(options, report, *device, problem, grain);
      } else {
        report.skip(
            fmt::format("{} grain {}", problem.shape.name, grain),
            fmt::format("{} tokens in sequences of {} have no such grains", tokens, problem.sequence));
      }
    }
  }
}
