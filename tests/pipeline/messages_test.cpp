// What a pipeline says: exactly the activations and gradients that cross its cuts, and nothing is allocated
// for it. And what it does when matrices are shared, too.

#include <gtest/gtest.h>

#include <mutex>

#include "comm/operation_counts.h"
#include "core/count_allocations.h"
#include "pipeline/pipeline_ranks.h"

namespace megalith {
namespace {

using test::Batch;

PipelineConfig config_of(ScheduleKind schedule, int stages, int chunks, std::int64_t sequence) {
  ModelConfig model = test::shaped_model("gpt");
  model.layers = stages * chunks;
  model.sequence = sequence;
  return {.model = model,
          .numerics = test::small_profile(DType::bf16, sequence),
          .schedule = schedule,
          .stages = stages,
          .chunks = chunks,
          .layers = std::vector<std::int64_t>(static_cast<std::size_t>(stages * chunks), 1),
          .sequences = test::kMicro,
          .sequence = sequence,
          .max_micro_batches = 5};
}

TEST(PipelineMessages, AreTheActivationsAndGradientsOfEveryCut) {
  constexpr std::int64_t kSequence = 24, kMicroBatches = 5;
  const Batch batch = test::random_batch(kMicroBatches, kSequence, 61);
  struct Case {
    ScheduleKind schedule;
    int stages, chunks;
  };
  for (const Case& c : {Case{ScheduleKind::gpipe, 3, 1}, Case{ScheduleKind::one_f_one_b, 4, 1},
                        Case{ScheduleKind::zero_bubble, 2, 1}, Case{ScheduleKind::interleaved, 3, 2}}) {
    const PipelineConfig config = config_of(c.schedule, c.stages, c.chunks, kSequence);
    const std::int64_t message = test::kMicro * kSequence * config.model.hidden * 2;
    run_ranks(c.stages, [&](Communicator& world) {
      set_floating_point_mode();
      OperationCounts counts;
      const std::unique_ptr<Communicator> observed = observe(world, counts);
      const Mesh mesh({.pipeline = c.stages}, *observed);
      test::PipelineRank rank(config, mesh);
      test::BatchClient client(batch, static_cast<std::size_t>(rank.engine.needs().slots));
      LossTotals totals;
      counts.clear();
      rank.engine.run(
          test::step_on(*rank.device, config.numerics, rank.engine.workspace(), rank.verdict, nullptr),
          client, kMicroBatches, totals);
      // Of a rank's chunks all but the model's last piece send up, all but the first send down.
      const std::int64_t up = (c.chunks - (mesh.last_stage() ? 1 : 0)) * kMicroBatches;
      const std::int64_t down = (c.chunks - (mesh.first_stage() ? 1 : 0)) * kMicroBatches;
      const auto check = [&](const char* name, OperationKind kind, std::int64_t calls) {
        const OperationCount count = counts.of(name, kind);
        EXPECT_EQ(count.calls, calls) << name << ", rank " << world.rank();
        EXPECT_EQ(count.bytes, calls * message) << name << ", rank " << world.rank();
      };
      check("pipeline", OperationKind::send, up);
      check("pipeline", OperationKind::receive, down);
      check("pipeline gradients", OperationKind::send, down);
      check("pipeline gradients", OperationKind::receive, up);
      EXPECT_EQ(counts.of("", OperationKind::all_reduce).calls, 0);
    });
  }
}

TEST(PipelineMessages, AllocateNothingOnceTheyFlow) {
  constexpr std::int64_t kSequence = 24;
  const Batch batch = test::random_batch(5, kSequence, 61);
  const PipelineConfig config = config_of(ScheduleKind::zero_bubble, 2, 1, kSequence);
  run_ranks(2, [&](Communicator& world) {
    set_floating_point_mode();
    const Mesh mesh({.pipeline = 2}, world);
    test::PipelineRank rank(config, mesh);
    test::BatchClient client(batch, static_cast<std::size_t>(rank.engine.needs().slots));
    const StepContext step =
        test::step_on(*rank.device, config.numerics, rank.engine.workspace(), rank.verdict, nullptr);
    std::int64_t nothing[] = {0};
    const auto together = [&] { world.wait(world.all_reduce(nothing, IntegerReduction::sum)); };
    LossTotals totals;
    for (int warm_up = 0; warm_up < 3; ++warm_up) rank.engine.run(step, client, 5, totals);
    together();
    const std::int64_t before = test::allocations;
    together();
    rank.engine.run(step, client, 5, totals);
    together();
    EXPECT_EQ(test::allocations - before, 0);
    together();
  });
}

// Logical elements of every parameter, put together from what ranks hold.
using Gradients = std::map<std::string, std::vector<std::int64_t>>;

void add_gradients(const Parameters& parameters, Gradients& whole) {
  for (const Parameter& p : parameters.all()) {
    std::vector<std::int64_t>& all = whole[p.spec.name];
    all.resize(static_cast<std::size_t>(p.logical_count()));
    const auto* local = p.gradient.as<std::int64_t>();
    for (const ParameterPiece& piece : p.pieces) {
      for (std::int64_t r = 0; r < piece.rows; ++r) {
        for (std::int64_t c = 0; c < piece.columns; ++c) {
          const auto at = static_cast<std::size_t>((piece.row + r) * p.spec.columns + piece.column + c);
          const std::int64_t value = local[piece.offset + r * piece.stride + c];
          all[at] = p.spec.summed_over_tensor ? all[at] + value : value;
        }
      }
    }
  }
}

TEST(PipelineOfTensorRanks, GivesTheBitsOfOneRank) {
  constexpr std::int64_t kSequence = 64;
  const Batch batch = test::random_batch(5, kSequence, 61);
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::zero_bubble}) {
    for (const bool sequence_parallel : {false, true}) {
      PipelineConfig config = config_of(schedule, 2, 1, kSequence);
      config.model.tied_output = false;
      config.model.dropout = config.model.attention_dropout = 0.1;
      config.sequence_parallel = sequence_parallel;
      test::Machine machine(config.model, config.numerics, test::kMicro, kSequence);
      const LossTotals one = machine.forward_backward(batch, test::kMicro);
      Gradients whole, together;
      add_gradients(machine.parameters, whole);
      std::mutex mutex;
      run_ranks(4, [&](Communicator& world) {
        set_floating_point_mode();
        const Mesh mesh({.pipeline = 2, .tensor = 2}, world);
        const TensorGroup group(mesh.tensor(), static_cast<int>(config.model.kv_heads));
        test::PipelineRank rank(config, mesh);
        test::BatchClient client(batch, static_cast<std::size_t>(rank.engine.needs().slots));
        StepContext step =
            test::step_on(*rank.device, config.numerics, rank.engine.workspace(), rank.verdict, nullptr);
        step.tensor = &group;
        LossTotals totals;
        rank.engine.run(step, client, 5, totals);
        const std::lock_guard lock(mutex);
        add_gradients(rank.parameters, together);
        if (mesh.last_stage()) {
          EXPECT_EQ(totals.loss, one.loss);
          EXPECT_EQ(totals.tokens, one.tokens);
        }
        EXPECT_EQ(rank.engine.used().slot_bytes, rank.engine.needs().slot_bytes);
        EXPECT_EQ(rank.engine.used().workspace_bytes, rank.engine.needs().workspace_bytes);
      });
      for (const auto& [name, values] : whole)
        EXPECT_EQ(together[name], values) << name << (sequence_parallel ? ", sequence parallel" : "");
    }
  }
}

}  // namespace
}  // namespace megalith
