// Bandwidth of every operation between ranks, as a share of what plain copies by all ranks at once reach in
// the same run: bytes are half of what must be read and written, which for a copy is what it copies.
//   bench_collectives [--rounds N] [--json] [ranks [MiB per rank]]      ranks as threads
//   mpirun -n N bench_collectives ...                                   ranks as processes

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "comm/launch_environment.h"
#include "comm/mpi/mpi_ranks.h"
#include "comm/threads/threads.h"
#include "core/thread_pool.h"
#include "harness.h"

namespace megalith {
namespace {

class Bench {
 public:
  // `bytes` of the larger buffer of each rank; a multiple of 8 for every size here.
  Bench(Communicator& world, std::size_t bytes)
      : world_(world),
        part_(bytes / static_cast<std::size_t>(world.size()) / 8 * 8),
        bytes_(part_ * static_cast<std::size_t>(world.size())),
        from_(bytes_ / 8, world.rank()),
        to_(bytes_ / 8, world.rank()) {}

  std::vector<bench::Candidate> candidates() {
    const auto ranks = static_cast<double>(world_.size());
    const double all = ranks * static_cast<double>(bytes_);
    const Bytes from = std::as_writable_bytes(std::span(from_));
    const Bytes to = std::as_writable_bytes(std::span(to_));
    const auto place = static_cast<std::size_t>(world_.rank()) * part_;
    std::vector<bench::Candidate> list;
    const auto add = [&](const char* name, double written, std::function<void()> call) {
      list.push_back({name, written, [this, call = std::move(call)] {
                        meet();
                        call();
                        meet();
                      }});
    };
    add("copy", all, [=] { std::memcpy(to.data(), from.data(), from.size()); });
    add("all_gather", all, [=, this] { world_.wait(world_.all_gather(from.first(part_), to)); });
    add("all_gather in place", all / ranks * (ranks - 1),
        [=, this] { world_.wait(world_.all_gather(to.subspan(place, part_), to)); });
    add("all_to_all", all, [=, this] { world_.wait(world_.all_to_all(from, to)); });
    add("reduce_scatter", (all + all / ranks) / 2,
        [=, this] { world_.wait(world_.reduce_scatter(from_, std::span(to_).first(part_ / 8))); });
    add("all_reduce", all, [this] { world_.wait(world_.all_reduce(to_, IntegerReduction::sum)); });
    add("broadcast", all / ranks * (ranks - 1), [=, this] { world_.wait(world_.broadcast(to, 0)); });
    add("send to the next", all / ranks * (ranks - 1), [=, this] { pass_on(from, to); });
    add("64 all_reduces of 8 bytes", 0, [this] {
      for (int i = 0; i < kSmall; ++i) meet();
    });
    return list;
  }
  static constexpr int kSmall = 64;

 private:
  void meet() {
    std::int64_t value = 1;
    world_.wait(world_.all_reduce(std::span(&value, 1), IntegerReduction::sum));
  }
  // As a pipeline does: every rank but the last sends, every rank but the first receives.
  void pass_on(ConstBytes from, Bytes to) {
    const int rank = world_.rank();
    std::vector<Communicator::Request> requests;
    if (rank > 0) requests.push_back(world_.receive(to, rank - 1));
    if (rank + 1 < world_.size()) requests.push_back(world_.send(from, rank + 1));
    for (const auto request : requests) world_.wait(request);
  }

  Communicator& world_;
  std::size_t part_;
  std::size_t bytes_;
  std::vector<std::int64_t> from_, to_;
};

void measure(const bench::Options& options, Communicator& world, const char* carrier) {
  const std::size_t mebibytes =
      options.rest.size() > 1 ? std::strtoull(options.rest[1].c_str(), nullptr, 10) : 32;
  Bench bench(world, std::max<std::size_t>(mebibytes, 1) << 20);
  const std::vector<bench::Candidate> candidates = bench.candidates();
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options.rounds);
  if (world.rank() != 0) return;
  bench::Report report(options, fmt::format("{} ranks as {} on {} processors, {} MiB each", world.size(),
                                            carrier, usable_processors(), mebibytes));
  const double copy = candidates[0].work / timings[0].best_seconds;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const double spread = timings[i].median_seconds / timings[i].best_seconds;
    const double seconds = timings[i].best_seconds;
    if (candidates[i].work > 0) {
      report.add(candidates[i].name, candidates[i].work / seconds * 1e-9, "GB/s", copy * 1e-9, spread);
    } else {
      report.add(candidates[i].name, seconds / Bench::kSmall * 1e6, "us each", 0, spread);
    }
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  if (value_or_throw(launch_environment()).ranks > 1 && mpi_support().present) {
    return run_mpi_rank([&](Communicator& world) {
      measure(options, world, "processes");
      return 0;
    });
  }
  const int ranks = options.rest.empty() ? 2 : std::clamp(std::atoi(options.rest[0].c_str()), 1, 64);
  run_ranks(ranks, [&](Communicator& world) { measure(options, world, "threads"); });
  return 0;
}
