#include "run/ledger.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "run/metrics_log.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

using test::slurp;
using test::spill;
using test::TemporaryFolder;

LedgerLine line_of(std::int64_t step) {
  LedgerLine line;
  line.step = step;
  line.loss = 8.0 / static_cast<double>(step);
  line.gradient_norm = 0.1;
  line.learning_rate = 1e-4;
  line.tokens = 2048 * step;
  line.loss_tokens = 2040;
  line.data_digest = 77 + static_cast<std::uint64_t>(step);
  line.fingerprint = 0xfeed;
  if (step % 2 == 0) line.parameter_digest = static_cast<std::uint64_t>(step) << 40;
  return line;
}

std::string text_of(std::int64_t first, std::int64_t last) {
  std::string text;
  for (std::int64_t step = first; step <= last; ++step) text += to_text(line_of(step)) + "\n";
  return text;
}

TEST(LedgerLine, IsOneJsonObjectWithReadableNumbersBesideTheirBits) {
  EXPECT_EQ(
      to_text(line_of(2)),
      R"({"step":2,"loss":4.0,"loss_bits":"4010000000000000","gradient_norm":0.1,)"
      R"("gradient_norm_bits":"3fb999999999999a","learning_rate":0.0001,"tokens":4096,"loss_tokens":2040,)"
      R"("skipped":false,"bad":"","parameter_digest":"0000020000000000","data_digest":"000000000000004f",)"
      R"("fingerprint":"000000000000feed"})");
}

TEST(LedgerLine, ComesBackWithTheSameBits) {
  LedgerLine line = line_of(3);
  for (const double loss :
       {1.0 / 3, -0.0, 5e-324, 1.7976931348623157e308, std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    line.loss = loss;
    line.gradient_norm = -loss;
    line.bad = "layer 3 \"attention\"\nbackward";
    line.skipped = true;
    const Expected<LedgerLine> back = parse_ledger_line(to_text(line), "");
    ASSERT_TRUE(back) << to_string(back.error());
    EXPECT_EQ(first_difference(line, *back), std::nullopt);
    EXPECT_EQ(back->parameter_digest, std::nullopt);
  }
}

TEST(LedgerLine, RefusesWhatWasEditedOrIsSomethingElse) {
  const std::string good = to_text(line_of(2));
  const auto refused = [&](const std::string& from, const std::string& to, const char* message) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    const Expected<LedgerLine> line = parse_ledger_line(text, "");
    ASSERT_FALSE(line) << text;
    EXPECT_NE(to_string(line.error()).find(message), std::string::npos) << to_string(line.error());
  };
  refused("\"loss\":4.0", "\"loss\":4.5", "loss: found 4.5; allowed: 4, which its bits stand for");
  refused("\"loss\":4.0", "\"loss\":null", "allowed: a number");
  refused("\"step\":2", "\"step\":0", "step: found 0");
  refused("\"step\":2", "\"step\":2.5", "found 2.5");
  refused("\"step\":2", "\"step\":18446744073709551615", "allowed: an integer");
  refused("\"step\":2,", "", "step: found nothing");
  refused("feed\"", "FEED\"", "16 lower-case hexadecimal digits");
  refused("feed\"", "eed\"", "16 lower-case hexadecimal digits");
  refused("false", "0", "true or false");
  refused("0.0001", "1e999", "too large");
  EXPECT_FALSE(parse_ledger_line("", ""));
  EXPECT_FALSE(parse_ledger_line("[1]", ""));
  EXPECT_FALSE(parse_ledger_line(good + std::string(1, '\0') + "x", ""));
  EXPECT_FALSE(parse_ledger_line(std::string(3'000'000, '['), ""));
}

TEST(LedgerLine, TheFirstDifferenceIsACauseBeforeAnEffect) {
  const LedgerLine before = line_of(2);
  LedgerLine now = before;
  EXPECT_EQ(first_difference(before, now), std::nullopt);
  now.parameter_digest = std::nullopt;
  EXPECT_EQ(first_difference(before, now), std::nullopt) << "a digest that was not computed is not compared";
  now.parameter_digest = 1;
  EXPECT_EQ(first_difference(before, now)->field, "parameter_digest");
  now.loss = std::nextafter(now.loss, 5.0);
  EXPECT_EQ(first_difference(before, now)->field, "loss");
  EXPECT_EQ(to_string(*first_difference(before, now)),
            "step 2: loss was 4 (4010000000000000), is 4.000000000000001 (4010000000000001)");
  now.data_digest ^= 1;
  EXPECT_EQ(first_difference(before, now)->field, "data_digest");
  now.fingerprint = 0;
  EXPECT_EQ(first_difference(before, now)->field, "fingerprint");
}

TEST(Ledger, AKillInTheMiddleOfALineCostsThatLineOnly) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "ledger.jsonl";
  const std::string three = text_of(1, 3);
  const std::size_t two = text_of(1, 2).size();
  for (std::size_t size = two; size <= three.size(); ++size) {
    spill(path, three.substr(0, size));
    Ledger ledger = value_or_throw(Ledger::open(path));
    const std::int64_t kept =
        size + 1 >= three.size() ? 3 : 2;  // without its line feed only, the line is whole
    ASSERT_EQ(ledger.last_step(), kept) << size;
    EXPECT_EQ(ledger.torn(), kept == 3 ? "" : three.substr(two, size - two));
    for (std::int64_t step = kept + 1; step <= 4; ++step) ledger.append(line_of(step));
    ASSERT_EQ(slurp(path), text_of(1, 4)) << size;
  }
}

TEST(Ledger, DamageInTheMiddleIsRefusedWithItsLine) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "ledger.jsonl";
  const auto message = [&](const std::string& text) {
    spill(path, text);
    const Expected<Ledger> ledger = Ledger::open(path);
    EXPECT_EQ(slurp(path), text) << "a refused file stays as it is";
    return ledger ? "accepted" : to_string(ledger.error());
  };
  EXPECT_NE(message(text_of(1, 2) + "garbage\n" + text_of(4, 5)).find("ledger.jsonl:3"), std::string::npos);
  EXPECT_NE(message(text_of(1, 2) + "garbage\n").find("ledger.jsonl:3"), std::string::npos);
  EXPECT_NE(message(text_of(1, 2) + text_of(4, 5)).find("found 4; allowed: 3"), std::string::npos);
  EXPECT_NE(message(text_of(1, 2) + text_of(2, 3)).find("found 2; allowed: 3"), std::string::npos);
  EXPECT_NE(message("\n" + text_of(1, 2)).find("ledger.jsonl:1"), std::string::npos);
  EXPECT_EQ(message(text_of(7, 9)), "accepted");
}

TEST(Ledger, AResumeFromAnOlderCheckpointRechecksTheStepsDoneAgain) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "ledger.jsonl";
  Ledger ledger = value_or_throw(Ledger::open(path));
  for (std::int64_t step = 1; step <= 9; ++step) ledger.append(line_of(step));
  RecheckLog recheck = value_or_throw(ledger.resume_after(line_of(6)));
  EXPECT_EQ(slurp(path), text_of(1, 6));
  EXPECT_EQ(recheck.size(), 3);
  EXPECT_EQ(recheck.last_step(), 9);
  EXPECT_EQ(recheck.expected(6), nullptr);
  EXPECT_EQ(recheck.expected(10), nullptr);
  EXPECT_EQ(recheck.check(line_of(7)), std::nullopt);
  LedgerLine other = line_of(8);
  other.gradient_norm = 0.2;
  ASSERT_TRUE(recheck.check(other));
  EXPECT_EQ(recheck.check(other)->field, "gradient_norm");
  EXPECT_EQ(recheck.check(line_of(10)), std::nullopt);
  EXPECT_EQ(recheck.compared(), 3);
  for (std::int64_t step = 7; step <= 9; ++step) ledger.append(line_of(step));
  EXPECT_EQ(slurp(path), text_of(1, 9));
  EXPECT_EQ(ledger.truncate_after(0).size(), 9);
  EXPECT_EQ(slurp(path), "");
  EXPECT_EQ(ledger.truncate_after(0).size(), 0);
}

TEST(Ledger, AResumeWithTheLedgerOfAnotherRunIsRefused) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "ledger.jsonl";
  spill(path, text_of(1, 4));
  Ledger ledger = value_or_throw(Ledger::open(path));
  LedgerLine other = line_of(4);
  other.data_digest = 1;
  EXPECT_FALSE(ledger.resume_after(other));
  EXPECT_FALSE(ledger.resume_after(line_of(6)));  // step 5 is nowhere
  EXPECT_EQ(slurp(path), text_of(1, 4));
  EXPECT_TRUE(ledger.resume_after(line_of(5)));  // the line was lost, the checkpoint has it
  EXPECT_EQ(slurp(path), text_of(1, 5));
  Ledger fresh = value_or_throw(Ledger::open(folder.path() / "new.jsonl"));
  EXPECT_TRUE(fresh.resume_after(line_of(6)));
  EXPECT_EQ(fresh.last_step(), 6);
}

TEST(MetricsLog, KeepsNumbersByNameAndSurvivesAKill) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "metrics.jsonl";
  using Values = std::vector<std::pair<std::string_view, double>>;
  {
    MetricsLog log = value_or_throw(MetricsLog::open(path));
    log.append(1, Values{{"tokens_per_second", 41250.5}, {"mfu", 0.4}});
    log.append(2, Values{{"validation_loss", std::numeric_limits<double>::quiet_NaN()}});
  }
  spill(path, slurp(path) + "{\"step\":3,\"mf");
  value_or_throw(MetricsLog::open(path)).append(3, Values{{"mfu", 0.5}});
  EXPECT_EQ(slurp(path),
            "{\"step\":1,\"tokens_per_second\":41250.5,\"mfu\":0.4}\n{\"step\":2,\"validation_loss\":null}\n"
            "{\"step\":3,\"mfu\":0.5}\n");
  const std::vector<MetricsLine> lines = value_or_throw(read_metrics(path));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].values.at("mfu"), 0.4);
  EXPECT_TRUE(std::isnan(lines[1].values.at("validation_loss")));
  EXPECT_FALSE(parse_metrics("{\"step\":1,\"mfu\":\"fast\"}\n", "m"));
  EXPECT_TRUE(value_or_throw(read_metrics(folder.path() / "absent")).empty());
}

}  // namespace
}  // namespace megalith
