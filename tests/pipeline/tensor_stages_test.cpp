// Stages whose matrices tensor ranks share: still the bits of one rank.

#include <gtest/gtest.h>

#include <mutex>

#include "layers/tensor_ranks.h"
#include "pipeline/engine.h"

namespace megalith {
namespace {

using test::Batch;
using test::RankRun;
using test::SharedOutcome;

constexpr std::int64_t kMicro = 4;
constexpr std::int64_t kSequence = 32;

class Client final : public PipelineClient {
 public:
  Client(const Batch& batch, int slots) : batch_(batch), filled_(static_cast<std::size_t>(slots)) {}
  const MicroBatch& fill(std::int64_t index, int buffer) override {
    return filled_.at(static_cast<std::size_t>(buffer)) = batch_.micro(index * kMicro, kMicro);
  }

 private:
  const Batch& batch_;
  std::vector<MicroBatch> filled_;
};

// What one rank of the mesh trained, gradients by logical index of the whole model.
SharedOutcome train_stage(const PipelineConfig& config, const Mesh& mesh, const Batch& batch,
                          std::int64_t elements) {
  set_floating_point_mode();
  const TensorSharing sharing = sharing_of(config, mesh);
  const std::unique_ptr<Device> device = cpu::make_device(1, cpu::available_isas().back());
  const std::vector<ModelPart> parts = parts_of_stage(config, mesh.place().pipeline);
  Parameters parameters(Transformer::specs(config.model, config.numerics, parts, sharing),
                        config.numerics.compute, Parameters::Use::training, sharing.place);
  parameters.initialise(1234);
  parameters.refresh_working(*device);
  parameters.zero_gradients(*device);
  PipelineEngine engine(config, mesh, *device, parameters, measure_pipeline(config, mesh));
  Client client(batch, engine.needs().slots);
  const TensorGroup group(mesh.tensor(), static_cast<int>(config.model.kv_heads));
  Verdict verdict;
  LossTotals totals;
  engine.run({.device = *device,
              .profile = config.numerics,
              .workspace = engine.workspace(),
              .batch = {},
              .seed = 5,
              .training = true,
              .z_loss = 1e-3f,
              .gradient_shift = gradient_shift(config.numerics.batch_tokens_max),
              .verdict = &verdict,
              .tensor = &group},
             client, config.max_micro_batches, totals);
  EXPECT_EQ(engine.used().workspace_bytes, engine.needs().workspace_bytes);
  EXPECT_EQ(engine.used().slot_bytes, engine.needs().slot_bytes);
  if (config.model.tied_output && mesh.ends() != nullptr) {
    const Tensor& g = parameters.named(Embedding::kTokenTable).gradient;
    mesh.ends()->wait(mesh.ends()->all_reduce({g.as<std::int64_t>(), static_cast<std::size_t>(g.count())},
                                              IntegerReduction::sum));
  }
  return {.loss = totals.loss,
          .tokens = totals.tokens,
          .bad = verdict.bad(),
          .log_probability = {},
          .evaluated = {},
          .gradients = test::counted_gradients(parameters, elements)};
}

struct Kind {
  const char* shape;
  ScheduleKind schedule;
  int chunks;
  Recompute recompute;
};

class TensorStages : public testing::TestWithParam<Kind> {};

TEST_P(TensorStages, GiveTheBitsOfOneRank) {
  RankRun run{.config = test::shared_model(GetParam().shape), .compute = DType::bf16, .micro = kMicro};
  run.config.layers = 4;
  run.config.dropout = 0.1;
  run.config.attention_dropout = 0.1;
  const Batch batch = test::random_batch(16, kSequence, run.config.vocabulary);
  const SharedOutcome expected = outcome_of(run, batch);
  for (const int tensor : {2, 4}) {
    for (const bool sequence_parallel : {false, true}) {
      const PipelineConfig config{.model = run.config,
                                  .numerics = test::small_profile(run.compute, kSequence),
                                  .schedule = GetParam().schedule,
                                  .stages = 2,
                                  .chunks = GetParam().chunks,
                                  .layers = GetParam().chunks == 1 ? std::vector<std::int64_t>{3, 1}
                                                                   : std::vector<std::int64_t>{1, 1, 1, 1},
                                  .recompute = {.mode = GetParam().recompute},
                                  .sequences = kMicro,
                                  .sequence = kSequence,
                                  .max_micro_batches = 4,
                                  .sequence_parallel = sequence_parallel};
      SCOPED_TRACE(fmt::format("tensor {}, sequence parallel {}", tensor, sequence_parallel));
      SharedOutcome found{.gradients = std::vector<std::int64_t>(expected.gradients.size(), 0)};
      std::mutex mutex;
      run_ranks(2 * tensor, [&](Communicator& world) {
        const Mesh mesh({.pipeline = 2, .tensor = tensor}, world);
        const SharedOutcome outcome =
            train_stage(config, mesh, batch, static_cast<std::int64_t>(expected.gradients.size()));
        const std::lock_guard lock(mutex);
        found.bad = found.bad || outcome.bad;
        for (std::size_t i = 0; i < found.gradients.size(); ++i) found.gradients[i] += outcome.gradients[i];
        if (!mesh.last_stage()) return;
        found.loss = outcome.loss;
        found.tokens = outcome.tokens;
      });
      EXPECT_EQ(found.loss, expected.loss);
      EXPECT_EQ(found.tokens, expected.tokens);
      EXPECT_FALSE(found.bad);
      EXPECT_TRUE(found.gradients == expected.gradients);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, TensorStages,
                         testing::Values(Kind{"gpt", ScheduleKind::one_f_one_b, 1, Recompute::none},
                                         Kind{"llama_1", ScheduleKind::zero_bubble, 1, Recompute::none},
                                         Kind{"qwen", ScheduleKind::interleaved, 2, Recompute::selective},
                                         Kind{"neox", ScheduleKind::zero_bubble, 1, Recompute::full},
                                         Kind{"capped", ScheduleKind::gpipe, 1, Recompute::full}),
                         [](const auto& kind) { return std::string(kind.param.shape); });

}  // namespace
}  // namespace megalith
