// Generation through the stages of a pipeline: every rank has the logits of the whole model, by bits.

#include <gtest/gtest.h>

#include <mutex>

#include "infer/generator.h"
#include "pipeline/pipeline_ranks.h"

namespace megalith {
namespace {

constexpr std::int64_t kTokens = 24;

struct Cut {
  ScheduleKind schedule;
  int stages, chunks;
  std::vector<std::int64_t> layers;
};

// Scores of a document and, of its second half once more, from token to token in two slots.
std::vector<float> said_by(Generator generator, const std::vector<std::int32_t>& ids) {
  std::vector<float> said = generator.score(ids);
  generator.prefill(std::span(ids).first(kTokens / 2), 2);
  for (std::size_t t = kTokens / 2; t < ids.size(); ++t) {
    const std::span<const float> logits = generator.logits(1);
    said.insert(said.end(), logits.begin(), logits.end());
    const std::int32_t next[] = {ids[t], ids[t]};
    generator.decode(next);
  }
  return said;
}

TEST(PipelineGeneration, GivesEveryRankTheLogitsOfTheWholeModel) {
  for (const char* shape : {"gpt", "llama", "neox"}) {
    ModelConfig model = test::shaped_model(shape);
    model.layers = 6;
    const NumericsProfile profile = test::small_profile(DType::bf16, kTokens);
    const std::vector<std::int32_t> ids = test::random_batch(1, kTokens, 61).ids;
    test::Machine machine(model, profile, 1, kTokens);
    const std::vector<float> whole =
        said_by(Generator(*machine.device, machine.transformer, profile, 2), ids);
    for (const Cut& cut :
         {Cut{ScheduleKind::one_f_one_b, 2, 1, {4, 2}}, Cut{ScheduleKind::one_f_one_b, 3, 1, {2, 2, 2}},
          Cut{ScheduleKind::interleaved, 2, 2, {1, 2, 1, 2}}}) {
      const PipelineConfig config{.model = model,
                                  .numerics = profile,
                                  .schedule = cut.schedule,
                                  .stages = cut.stages,
                                  .chunks = cut.chunks,
                                  .layers = cut.layers,
                                  .sequence = kTokens};
      std::mutex mutex;
      run_ranks(cut.stages, [&](Communicator& world) {
        set_floating_point_mode();
        const Mesh mesh({.pipeline = cut.stages}, world);
        test::PipelineRank rank(config, mesh);
        const std::vector<float> said =
            said_by(Generator(*rank.device, CachedModel(rank.engine.chunks(), mesh), profile, 2), ids);
        const std::lock_guard lock(mutex);
        EXPECT_EQ(said, whole) << shape << ", " << cut.stages << " stages, rank " << world.rank();
      });
    }
  }
}

}  // namespace
}  // namespace megalith
