// A sample drawn in the middle of a run is the same in every layout.

#include "infer/generator.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

// Logits of a prompt and a few tokens after it, from the parameters after a step.
std::vector<float> said_after_a_step(Trainer& trainer, const NumericsProfile& profile) {
  trainer.run_step(0);
  Generator generator(trainer.device(), trainer.cached_model(), profile, 1);
  const std::int32_t prompt[] = {3, 1, 4, 1, 5, 9, 2};
  generator.prefill(prompt, 1);
  std::vector<float> said;
  for (const std::int32_t next : {2, 7, 1, 8}) {
    const std::span<const float> logits = generator.logits(0);
    said.insert(said.end(), logits.begin(), logits.end());
    generator.decode(std::span(&next, 1));
  }
  trainer.run_step(1);  // goes on afterwards
  return said;
}

TEST(LayoutGeneration, IsThatOfOneRank) {
  const test::RepeatedBatch data(test::random_batch(4, test::kTokens, 59));
  TrainConfig config = test::small_run(1, DType::bf16);
  config.model.layers = 4;
  config.model.tied_output = true;
  test::WatchedDevice device(1);
  Trainer alone(config, device, data);
  const std::vector<float> one = said_after_a_step(alone, config.numerics);
  struct Case {
    std::int64_t tensor, pipeline, data, chunks, zero;
  };
  for (const Case& c : {Case{1, 2, 1, 1, 0}, Case{2, 1, 1, 1, 0}, Case{2, 2, 1, 1, 0}, Case{1, 2, 2, 2, 1},
                        Case{1, 2, 2, 1, 3}, Case{2, 1, 2, 1, 3}}) {
    config.parallel = {.tensor = c.tensor,
                       .pipeline = c.pipeline,
                       .data = c.data,
                       .schedule = c.chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b,
                       .chunks = c.chunks,
                       .zero = c.zero};
    std::mutex mutex;
    test::on_ranks(config, data, [&](test::RankOfRun& rank) {
      const std::vector<float> said = said_after_a_step(rank.trainer, config.numerics);
      const std::lock_guard lock(mutex);
      EXPECT_EQ(said, one) << test::layout_text(config);
    });
  }
}

}  // namespace
}  // namespace megalith
