// What several ranks agree on before they begin.
#include "app/launch/launch.h"

#include <gtest/gtest.h>

#include <vector>

#include "comm/threads/threads.h"

namespace megalith::app {
namespace {

// What each rank was refused with.
std::vector<std::string> refusals_of(const std::vector<std::uint64_t>& values) {
  std::vector<std::string> told(values.size());
  run_ranks(static_cast<int>(values.size()), [&](Communicator& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    try {
      require_same(world, values[rank], "build of megalith");
      told[rank] = "went on";
    } catch (const AgreedRefusal& refusal) {
      told[rank] = refusal.refusals.empty() ? "silent" : to_string(refusal.refusals);
    }
  });
  return told;
}

TEST(Launch, RanksThatAreAlikeGoOn) {
  EXPECT_EQ(refusals_of({7, 7, 7}), std::vector<std::string>(3, "went on"));
}

TEST(Launch, ARankThatIsUnlikeIsNamedOnceAndAllEnd) {
  EXPECT_EQ(refusals_of({7, 7, 8}),
            (std::vector<std::string>{"rank 2: found another build of megalith than rank 0 has; allowed: the "
                                      "same on all ranks",
                                      "silent", "silent"}));
}

}  // namespace
}  // namespace megalith::app
