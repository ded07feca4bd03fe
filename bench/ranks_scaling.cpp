// Strong and weak scaling of whole training steps over 1, 2, 4 and 8 ranks, for data (ZeRO 1), tensor (with
// sequence parallel) and pipeline parallel (1F1B): tokens per second, beside one rank that has all
// processors and the same work and takes turns with them, and the share of their time in which ranks wait.
//   bench_ranks_scaling [--rounds N] [--json] [data | tensor | pipeline] [strong | weak] [2 | 4 | 8 ...]
//   mpirun -n N --bind-to none bench_ranks_scaling ...     the same for N ranks as processes
//
// Strong: 16 sequences of 256 through 15 layers, over any number of ranks. Weak, so that 8 ranks have the
// same work: for data and tensor ranks 2 sequences per rank, for pipeline ranks 2 layers per rank, one less
// on the last, which has the head, that costs about as much as a layer.
//
// More ranks than processors share them: the ratio is then what being so many costs, and no speed-up. A
// rank's waiting is then in part another's turn on its processor. Processes that wait spin, also while the
// one rank computes beside them: under mpirun the ratio says little, the tokens per second of the ranks
// count.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "comm/launch_environment.h"
#include "comm/mpi/mpi_ranks.h"
#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "model_shapes.h"
#include "training_rank.h"
#include "whole_steps.h"

namespace megalith {
namespace {

constexpr int kMostRanks = 8;
constexpr std::int64_t kSequences = 16, kSequence = 256;
constexpr std::int64_t kMicroOfOne = 8;  // the fastest on one rank among 1 to 16

enum class Axis : std::uint8_t { data, tensor, pipeline };
constexpr const char* kAxisNames[] = {"data", "tensor", "pipeline"};
constexpr const char* kAxisTitles[] = {"data, ZeRO 1", "tensor, sequence parallel", "pipeline, 1F1B"};

// The same work for one rank and for all: axis and ranks say how it is shared.
struct Problem {
  Axis axis = Axis::data;
  bool weak = false;
  int ranks = 1;
};

bench::ModelShape shape_of(const Problem& problem) {
  const bool grows = problem.weak && problem.axis == Axis::pipeline;
  return {"ranks", 2 * (grows ? problem.ranks : kMostRanks) - 1, 512, 8, 6144};
}

TrainConfig one_rank(const Problem& problem) {
  const bool grows = problem.weak && problem.axis != Axis::pipeline;
  const std::int64_t sequences = grows ? kSequences / kMostRanks * problem.ranks : kSequences;
  TrainConfig config =
      bench::training_of(shape_of(problem), sequences, kSequence, std::min(sequences, kMicroOfOne));
  config.parallel.data = 1;
  return config;
}

TrainConfig shared(const Problem& problem) {
  TrainConfig config = one_rank(problem);
  switch (problem.axis) {
    case Axis::data:
      config.parallel.data = problem.ranks;
      config.parallel.zero = 1;
      config.batch.micro = config.batch.global / problem.ranks;
      break;
    case Axis::tensor:
      config.parallel.tensor = problem.ranks;
      config.parallel.sequence = true;
      break;
    case Axis::pipeline:
      config.parallel.pipeline = problem.ranks;
      config.batch.micro = 1;
      break;
  }
  return config;
}

std::string name_of(const Problem& problem) {
  return fmt::format("{}, {}, {} ranks: {} layers, {} sequences",
                     kAxisTitles[static_cast<std::size_t>(problem.axis)], problem.weak ? "weak" : "strong",
                     problem.ranks, shape_of(problem).layers, one_rank(problem).batch.global);
}

// Collective. `report`: the first rank's.
void measure(const bench::Options& options, bench::Report* report, Communicator& world,
             const Problem& problem) {
  const TrainConfig config = shared(problem), whole = one_rank(problem);
  const std::unique_ptr<Dataset> data = bench::dataset_of(config);
  const int threads = std::max(1, usable_processors() / problem.ranks);
  std::vector<std::unique_ptr<bench::TrainingRank>> trainers;
  trainers.push_back(std::make_unique<bench::TrainingRank>(config, *data, world, threads));
  bench::Turns turns(world, std::move(trainers));
  std::vector<double> one, all;  // seconds
  if (report == nullptr) {
    turns.follow();
  } else {
    const std::unique_ptr<Device> device = bench::open_device(usable_processors());
    Trainer alone(whole, *device, *data);
    for (int round = -1; round < options.rounds; ++round) {
      const double of_one = turns.alone([&] { alone.run_step(round + 1); });
      const double of_all = turns.step(0);
      if (round < 0) continue;  // warms up
      one.push_back(of_one);
      all.push_back(of_all);
    }
    turns.leave();
  }
  const bench::TrainingRank& mine = turns.mine(0);
  double waiting = 0;
  for (const std::int64_t share :
       numbers_of(world, static_cast<std::int64_t>(1e6 * mine.times.waited / mine.seconds)))
    waiting += 1e-6 * static_cast<double>(share) / problem.ranks;
  if (report == nullptr) return;
  const auto tokens = static_cast<double>(config.tokens_per_step());
  const bench::Timing timing = bench::timing_of(all);
  report->add(name_of(problem), tokens / timing.best_seconds, "tokens/s",
              tokens / bench::timing_of(one).best_seconds, timing.median_seconds / timing.best_seconds);
  report->add("... waiting, all ranks", 100 * waiting, "%", 100, 1);
}

std::vector<Problem> problems(const bench::Options& options, int most) {
  const auto asked = [&](std::initializer_list<const char*> names, const std::string& name) {
    const auto& rest = options.rest;
    const bool any = std::any_of(names.begin(), names.end(), [&](const char* one) {
      return std::find(rest.begin(), rest.end(), one) != rest.end();
    });
    return !any || options.wants(name);
  };
  std::vector<Problem> list;
  for (const Axis axis : {Axis::data, Axis::tensor, Axis::pipeline}) {
    if (!asked({"data", "tensor", "pipeline"}, kAxisNames[static_cast<std::size_t>(axis)])) continue;
    for (const bool weak : {false, true}) {
      if (!asked({"strong", "weak"}, weak ? "weak" : "strong")) continue;
      for (int ranks = 2; ranks <= most; ranks *= 2) {
        // At the most ranks weak is the same as strong.
        if ((!weak || ranks < kMostRanks) && asked({"2", "4", "8"}, std::to_string(ranks)))
          list.push_back({axis, weak, ranks});
      }
    }
  }
  return list;
}

void check_names(const bench::Options& options) {
  const std::vector<std::string> allowed = {"data", "tensor", "pipeline", "strong", "weak", "2", "4", "8"};
  for (const std::string& name : options.rest) {
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      bench::refuse(name, fmt::format("{}", fmt::join(allowed, ", ")));
  }
}

std::string title(const char* carrier) {
  return fmt::format(
      "Scaling over ranks as {} on {} processors ({} kernels), beside one rank with all of them; where ranks "
      "are more than processors this is overhead, not speed-up;",
      carrier, usable_processors(), cpu::name_of(value_or_throw(cpu::choose_isa())));
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  check_names(options);
  if (value_or_throw(launch_environment()).ranks > 1 && mpi_support().present) {
    return run_mpi_rank([&](Communicator& world) {
      set_floating_point_mode();
      std::optional<bench::Report> report;
      if (world.rank() == 0) report.emplace(options, title("processes"));
      for (const Problem& problem : problems(options, kMostRanks)) {
        if (problem.ranks == world.size()) measure(options, report ? &*report : nullptr, world, problem);
      }
      return 0;
    });
  }
  bench::Report report(options, title("threads"));
  for (const Problem& problem : problems(options, kMostRanks)) {
    run_ranks(problem.ranks, [&](Communicator& world) {
      set_floating_point_mode();
      measure(options, world.rank() == 0 ? &report : nullptr, world, problem);
    });
  }
}
