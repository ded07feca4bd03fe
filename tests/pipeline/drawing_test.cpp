#include "pipeline/schedule_drawing.h"

#include <gtest/gtest.h>

namespace megalith {
namespace {

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(ScheduleDrawing, OfOneForwardOneBackwardIsItsDefinition) {
  EXPECT_EQ(to_text(play({ScheduleKind::one_f_one_b, 2, 1, 3})),
            "stage   0  F0 F1 .  .  B0--- F2 B1--- .  B2--- \n"
            "stage   1  .  F0 B0--- F1 B1--- F2 B2--- .  .  \n");
}

TEST(ScheduleDrawing, OfZeroBubbleFillsTheEndWithWeightHalves) {
  EXPECT_EQ(to_text(play({ScheduleKind::zero_bubble, 2, 1, 3})),
            "stage   0  F0 F1 .  B0 W0 F2 B1 W1 B2 W2 \n"
            "stage   1  .  F0 B0 F1 B1 W0 F2 B2 W1 W2 \n");
}

TEST(ScheduleDrawing, NamesChunksByLetters) {
  const std::string text = to_text(play({ScheduleKind::interleaved, 2, 2, 2}));
  for (const char* pass : {"F0a", "F1a", "F0b", "F1b", "B0a", "B1a", "B0b", "B1b"})
    EXPECT_EQ(count(text, pass), 2u) << pass << "\n" << text;
}

TEST(ScheduleDrawing, AsAPictureHasABarForEveryPassAndARowForEveryStage) {
  const ScheduleTimeline timeline = play({ScheduleKind::zero_bubble, 3, 1, 4});
  const std::string svg = to_svg(timeline);
  const std::size_t frame = 1, legend = 4;
  EXPECT_EQ(count(svg, "<rect "), frame + 3 + 3 * 3 * 4 + legend);
  for (const char* row : {">stage 0<", ">stage 1<", ">stage 2<"}) EXPECT_EQ(count(svg, row), 1u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(ScheduleDrawing, SaysTheFactsThatTheSchedulePromises) {
  const ScheduleFacts facts = facts_of(play({ScheduleKind::one_f_one_b, 4, 1, 12}));
  EXPECT_NEAR(facts.bubble, 3.0 / 15, 1e-9);
  EXPECT_EQ(facts.waiting, (std::vector<int>{4, 3, 2, 1}));
  EXPECT_EQ(facts.sent, 24);
}

}  // namespace
}  // namespace megalith
