// A rank that throws anywhere in a step: the others are told who and why, nobody hangs, and nobody reads or
// writes the memory that goes with it.
#include <sys/mman.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "comm/exchange.h"
#include "comm/observer.h"
#include "run/temporary_folder.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

constexpr std::int64_t kSequences = 8;

void linger() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// What is given back cannot be touched again, by nobody's luck: it stays where it is without permissions.
class TrappedMemory final : public ArenaMemory {
 public:
  std::byte* reserve(const std::string& arena, std::size_t bytes) override {
    return host_memory().reserve(arena, bytes);
  }
  void give_back(std::byte* memory, std::size_t bytes) noexcept override {
    mprotect(memory, bytes, PROT_NONE);
    trapped_.at(count_++) = {memory, bytes};
    linger();
  }
  ~TrappedMemory() override {
    for (std::size_t i = 0; i < count_; ++i) host_memory().give_back(trapped_[i].first, trapped_[i].second);
  }

 private:
  std::array<std::pair<std::byte*, std::size_t>, 64> trapped_{};
  std::size_t count_ = 0;
};

// Stands between what is freed and what tells the others, so that they have time to come.
struct Lingering {
  ~Lingering() { linger(); }
};

// Counts what happens on a rank and throws at one of the events.
class Trigger final : public CommunicationObserver {
 public:
  void arm(std::int64_t event) { left_ = event; }
  // Destructors, which may wait but not throw, come next.
  void close() { closed_ = true; }
  void happened(const std::string& what) {
    if (closed_) return;
    ++happened_[what];
    ++all_;
    if (left_ > 0 && --left_ == 0) throw std::runtime_error("the disk is full");
  }
  int opened(const Communicator&) override { return 0; }
  void entered(ObservedOperation& operation) override {
    happened(std::string("before ") + name_of(operation.kind));
  }
  void waiting(ObservedOperation& operation) override {
    happened(std::string("during ") + name_of(operation.kind));
  }
  void left(ObservedOperation& operation) override {
    happened(std::string("after ") + name_of(operation.kind));
  }
  [[nodiscard]] std::int64_t events() const { return all_; }
  [[nodiscard]] const std::map<std::string, std::int64_t>& seen() const { return happened_; }

 private:
  std::int64_t left_ = 0;  // until it throws; 0: never
  bool closed_ = false;
  std::int64_t all_ = 0;
  std::map<std::string, std::int64_t> happened_;
};

class WatchedData final : public Dataset {
 public:
  explicit WatchedData(Trigger& trigger) : data_(test::ragged_data(kSequences)), trigger_(trigger) {}
  void fill(std::int64_t sample, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    trigger_.happened("data");
    data_.fill(sample, ids, targets, loss_mask, document_start);
  }
  [[nodiscard]] std::int64_t samples_per_epoch() const override { return kSequences; }
  [[nodiscard]] std::string describe_sample(std::int64_t) const override { return "watched"; }

 private:
  test::RepeatedBatch data_;
  Trigger& trigger_;
};

// Everything that a rank does in a run, each event told to the trigger.
void run_rank(const TrainConfig& config, Communicator& world, Trigger& trigger,
              const std::filesystem::path& folder) {
  TrappedMemory memory;
  const std::unique_ptr<Communicator> observed = observe(world, trigger);
  const Mesh mesh(Layout{.data = static_cast<int>(config.parallel.data),
                         .pipeline = static_cast<int>(config.parallel.pipeline),
                         .tensor = static_cast<int>(config.parallel.tensor)},
                  *observed);
  const Lingering lingering;
  const WatchedData data(trigger);
  test::WatchedDevice device(1);
  device.take_memory_from(memory);
  device.watch([&](std::string_view operation, const Tensor&) { trigger.happened(std::string(operation)); });
  device.watch_updates([&] { trigger.happened("optimizer update"); });
  Trainer trainer(config, device, data, mesh);
  for (std::int64_t step = 0; step < 2; ++step) trainer.run_step(step);
  trainer.validate(data, 3);
  CheckpointWriter writer(folder, 2, {.writer = world.rank(), .writers = world.size()});
  trainer.save(writer);
  trigger.happened("save");
  CheckpointFacts facts;
  facts.step = 2;
  writer.finish_together(facts, [&](const std::string& mine) { return texts_of(mesh.world(), mine); });
  trigger.close();
}

struct Case {
  const char* name;
  ParallelConfig parallel;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"Data", {.data = 2}},
      {"ShardedOptimizer", {.data = 2, .zero = 1}},
      {"ShardedGradients", {.data = 2, .zero = 2}},
      {"ShardedWeights", {.data = 3, .zero = 3}},
      {"Pipeline", {.pipeline = 2, .data = 1}},
      {"ZeroBubble", {.pipeline = 4, .data = 1, .schedule = ScheduleKind::zero_bubble}},
      {"Tensor", {.tensor = 2, .data = 1}},
      {"SequenceParallel", {.tensor = 2, .data = 1, .sequence = true}},
      {"All", {.tensor = 2, .pipeline = 2, .data = 2, .sequence = true, .zero = 1}},
      {"AllSharded",
       {.tensor = 2,
        .pipeline = 2,
        .data = 2,
        .schedule = ScheduleKind::interleaved,
        .chunks = 2,
        .zero = 3}},
  };
  return kCases;
}

class FailingRank : public testing::TestWithParam<Case> {
 protected:
  FailingRank() : config_(test::shared_run(kSequences)) {
    config_.parallel = GetParam().parallel;
    config_.batch.micro = config_.parallel.sequence ? 2 : 1;
    ranks_ = static_cast<int>(config_.parallel.tensor * config_.parallel.pipeline * config_.parallel.data);
  }
  // Rank `failing` throws at that event; 0: nobody does. Returns what each rank saw.
  std::vector<Trigger> run(int failing, std::int64_t event) {
    const test::TemporaryFolder folder;
    std::vector<Trigger> triggers(static_cast<std::size_t>(ranks_));
    triggers[static_cast<std::size_t>(failing)].arm(event);
    run_ranks(ranks_, [&](Communicator& world) {
      set_floating_point_mode();
      try {
        run_rank(config_, world, triggers[static_cast<std::size_t>(world.rank())], folder.path());
      } catch (const PeerFailed& failure) {
        EXPECT_EQ(failure.what(), fmt::format("rank {} failed: the disk is full", failing));
        throw;
      }
    });
    return triggers;
  }

  TrainConfig config_;
  int ranks_ = 1;
};

TEST_P(FailingRank, EndsTheOthersWithItsReasonWhereverItThrows) {
  const std::vector<Trigger> whole = run(0, 0);
  for (const char* phase : {"data", "product forward", "product backward", "optimizer update", "save"})
    EXPECT_GT(whole.back().seen().count(phase), 0U) << phase;
  constexpr std::int64_t kPlaces = 24;
  for (std::int64_t place = 0; place < kPlaces; ++place) {
    const int failing = static_cast<int>(place) % ranks_;
    const std::int64_t events = whole[static_cast<std::size_t>(failing)].events();
    const std::int64_t event = 1 + place * (events - 1) / (kPlaces - 1);
    SCOPED_TRACE(fmt::format("rank {} throws at event {} of {}", failing, event, events));
    try {
      run(failing, event);
      ADD_FAILURE() << "nothing thrown";
    } catch (const PeerFailed& failure) {
      ADD_FAILURE() << "what the others said came first: " << failure.what();
    } catch (const std::runtime_error& failure) {
      EXPECT_STREQ(failure.what(), "the disk is full");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, FailingRank, testing::ValuesIn(cases()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace megalith
