// Generation by tensor ranks: every rank has the logits that one rank alone would have.

#include <gtest/gtest.h>

#include "infer/generator.h"
#include "layers/tensor_ranks.h"

namespace megalith {
namespace {

using test::RankRun;

struct Answer {
  std::vector<std::uint32_t> scored, decoded;
  bool operator==(const Answer&) const = default;
};

Answer answer(const RankRun& run, Communicator& communicator) {
  set_floating_point_mode();
  test::TensorRank rank(run, communicator);
  Generator generator(rank.device(), rank.transformer, rank.profile(), 3, 0, rank.group());
  const test::Batch document = test::random_batch(1, 32, run.config.vocabulary);
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
    RankRun run{.config = test::shared_model(shape), .compute = DType::bf16};
    Answer expected;
    run_ranks(1, [&](Communicator& world) { expected = answer(run, world); });
    for (const int ranks : {2, 4, 8}) {
      std::vector<Answer> answers(static_cast<std::size_t>(ranks));
      run_ranks(ranks, [&](Communicator& world) {
        answers[static_cast<std::size_t>(world.rank())] = answer(run, world);
      });
      for (const Answer& found : answers)
        EXPECT_TRUE(found == expected) << shape << ", " << ranks << " ranks";
    }
  }
}

}  // namespace
}  // namespace megalith
