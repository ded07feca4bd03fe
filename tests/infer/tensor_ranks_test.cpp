// Generation by tensor ranks: every rank has the logits that one rank alone would have.

#include <gtest/gtest.h>

#include "infer/generator.h"
#include "layers/tensor_ranks.h"

namespace megalith {
namespace {

struct Answer {
  std::vector<std::uint32_t> scored, decoded;
  bool operator==(const Answer&) const = default;
};

// 127 rows at once, then five at once, then three.
Answer answer(const ModelConfig& config, Communicator& world) {
  set_floating_point_mode();
  const Mesh mesh({.tensor = world.size()}, world);
  const TensorGroup group(mesh.tensor(), static_cast<int>(config.kv_heads));
  const TensorSharing sharing{.place = group.place()};
  const NumericsProfile profile = test::small_profile(DType::bf16, 32);
  const std::unique_ptr<Device> device = cpu::make_device(1, cpu::available_isas().back());
  Parameters parameters(Transformer::specs(config, profile, sharing), profile.compute,
                        Parameters::Use::training, sharing.place);
  parameters.initialise(1234);
  parameters.refresh_working(*device);
  std::deque<Transformer> whole;
  whole.emplace_back(config, profile, parameters, RecomputePlan{}, sharing);
  Generator generator(*device, CachedModel(whole, mesh, world.size() == 1 ? nullptr : &group), profile, 3);
  const test::Batch document = test::random_batch(1, 128, config.vocabulary);
  Answer result{.scored = test::bits_of(generator.score(document.ids)), .decoded = {}};
  generator.prefill(std::span(document.ids).first(5), 3);
  for (std::size_t s = 5; s < 20; ++s) {
    const std::int32_t ids[] = {document.ids[s], document.ids[s - 1], document.ids[s - 2]};
    generator.decode(ids);
    for (std::int64_t slot = 0; slot < 3; ++slot) {
      const std::span<const float> logits = generator.logits(slot);
      for (const std::uint32_t bits : test::bits_of({logits.begin(), logits.end()}))
        result.decoded.push_back(bits);
    }
  }
  return result;
}

TEST(TensorRanks, ScoreAndGenerateAsOneRankDoes) {
  for (const char* shape : {"gpt", "llama_2", "llama_1", "capped"}) {
    ModelConfig config = test::shared_model(shape);
    config.sequence = 160;
    Answer expected;
    run_ranks(1, [&](Communicator& world) { expected = answer(config, world); });
    for (const int ranks : {2, 4, 8}) {
      std::vector<Answer> answers(static_cast<std::size_t>(ranks));
      run_ranks(ranks, [&](Communicator& world) {
        answers[static_cast<std::size_t>(world.rank())] = answer(config, world);
      });
      for (const Answer& found : answers)
        EXPECT_TRUE(found == expected) << shape << ", " << ranks << " ranks";
    }
  }
}

}  // namespace
}  // namespace megalith
