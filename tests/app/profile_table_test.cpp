// What --profile says of several ranks, from made-up times.

#include "app/training/profile_table.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

namespace megalith::app {
namespace {

constexpr profile::Ceilings kCeilings{.bf16_flops = 1e12, .f32_flops = 5e11, .bandwidth = 4e10};

bool has(const std::string& text, const std::string& pattern) {
  return std::regex_search(text, std::regex(pattern));
}

OperationTime operation(const char* name, double seconds) {
  return {.name = name,
          .dtype = DType::bf16,
          .arithmetic = DType::bf16,
          .sizes = {64, 32},
          .calls = 20,
          .seconds = seconds,
          .cost = {.flops = 1e9, .bytes = 1e6}};
}
OperationTime wait(double seconds) {
  return {.name = "wait for all_reduce", .sizes = {8}, .calls = 10, .seconds = seconds};
}

// Ten steps of 100 ms.
RankProfile rank(const char* place, std::vector<OperationTime> operations) {
  return {.place = place, .steps = 10, .seconds = {1, 0.5}, .operations = std::move(operations)};
}
std::vector<RankProfile> three_ranks() {
  return {rank("rank 0: stage 0", {operation("product forward", 0.6), wait(0.3)}),
          rank("rank 1: stage 1", {operation("product forward", 0.9), wait(0.1)}),
          rank("rank 2: stage 2", {operation("product forward", 0.3), operation("loss", 0.1), wait(0.5)})};
}

TEST(ProfileTable, GivesMeansOverRanksWithTheShortestAndTheLongest) {
  const std::string table = profile_table(three_ranks(), kCeilings);
  EXPECT_TRUE(has(table, "profile of 10 steps on 3 ranks, 100.00 ms each")) << table;
  // (0.6 + 0.9 + 0.3) / 3 seconds in ten steps; rank 2 has 30 ms, rank 1 has 90.
  EXPECT_TRUE(has(table, "product forward +bf16 64x32 +2 +60.000 +60.0% .* 30.000 +2 +90.000 +1\n")) << table;
  EXPECT_TRUE(has(table, "wait for all_reduce +8 +1 +30.000 +30.0% +10.000 +1 +50.000 +2\n")) << table;
}

TEST(ProfileTable, TakesTheShortestOfTheRanksThatHaveAnOperation) {
  // 100 ms in ten steps of one rank in three.
  const std::string table = profile_table(three_ranks(), kCeilings);
  EXPECT_TRUE(has(table, "loss +bf16 64x32 +0.6667 +3.333 +3.3% .* 10.000 +2 +10.000 +2\n")) << table;
}

TEST(ProfileTable, TellsWhatEachRankWorksAndWaitsAndWhichIsSlowest) {
  const std::string table = profile_table(three_ranks(), kCeilings);
  EXPECT_TRUE(has(table, "rank 0: stage 0 +60.000 +60.0% +30.000 +30.0% +10.000 +10.0%\n")) << table;
  EXPECT_TRUE(has(table, "rank 1: stage 1 +90.000 +90.0% +10.000 +10.0% .*  slowest\n")) << table;
  EXPECT_TRUE(has(table, "rank 2: stage 2 +40.000 +40.0% +50.000 +50.0% .*  fastest\n")) << table;
}

TEST(ProfileTable, SaysNothingOfRanksWhereThereIsOne) {
  const std::vector<RankProfile> one = {rank("", {operation("product forward", 0.6)})};
  const std::string table = profile_table(one, kCeilings);
  EXPECT_TRUE(has(table, "profile of 10 steps, 100.00 ms each")) << table;
  EXPECT_TRUE(has(table, "product forward +bf16 64x32 +2 +60.000 +60.0% .*% of [a-z]+\n")) << table;
  EXPECT_FALSE(has(table, "rank")) << table;
  EXPECT_FALSE(nlohmann::json::parse(profile_json(one, kCeilings)).at("profile").contains("ranks"));
}

TEST(ProfileTable, LeavesOutRanksBetweenTheSlowestAndTheFastest) {
  std::vector<RankProfile> many;
  for (int r = 0; r < 40; ++r)
    many.push_back(rank(fmt::format("rank {}:", r).c_str(), {operation("product forward", 0.1 + 0.02 * r)}));
  const std::string table = profile_table(many, kCeilings);
  EXPECT_TRUE(has(table, "24 ranks between these are left out")) << table;
  EXPECT_TRUE(has(table, "\nrank 0: .*  fastest\n")) << table;
  EXPECT_TRUE(has(table, "\nrank 39: .*  slowest\n")) << table;
  EXPECT_FALSE(has(table, "rank 20:")) << table;
}

TEST(ProfileTable, IsAnObjectWithAllRanks) {
  const auto profile = nlohmann::json::parse(profile_json(three_ranks(), kCeilings)).at("profile");
  EXPECT_EQ(profile.at("ranks").size(), 3u);
  EXPECT_EQ(profile.at("ranks").at(2).at("place"), "rank 2: stage 2");
  EXPECT_DOUBLE_EQ(profile.at("ranks").at(2).at("waiting_seconds"), 0.5);
  EXPECT_DOUBLE_EQ(profile.at("ranks").at(2).at("operation_seconds"), 0.4);
  EXPECT_EQ(profile.at("operations").at(0).at("slowest").at("rank"), 1);
  EXPECT_DOUBLE_EQ(profile.at("outside_seconds").at("validation"), 0.5);
}

TEST(RankProfile, IsTheSameAfterItWasToldToAnotherRank) {
  const RankProfile told = three_ranks()[2];
  const RankProfile heard = rank_profile_from(to_text(told));
  EXPECT_EQ(heard.place, told.place);
  EXPECT_EQ(heard.steps, told.steps);
  EXPECT_EQ(heard.seconds, told.seconds);
  ASSERT_EQ(heard.operations.size(), told.operations.size());
  for (std::size_t i = 0; i < told.operations.size(); ++i) {
    const OperationTime &a = heard.operations[i], &b = told.operations[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.dtype, b.dtype);
    EXPECT_EQ(a.arithmetic, b.arithmetic);
    EXPECT_EQ(a.sizes, b.sizes);
    EXPECT_EQ(a.calls, b.calls);
    EXPECT_EQ(a.seconds, b.seconds);
    EXPECT_EQ(a.cost.flops, b.cost.flops);
    EXPECT_EQ(a.cost.bytes, b.cost.bytes);
  }
}

}  // namespace
}  // namespace megalith::app
