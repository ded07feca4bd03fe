// The ledger: what every step of a run came to, one JSON object a line in ledger.jsonl (docs/formats.md).
// Two runs are the same run when their ledgers agree. After a resume, the steps done again are compared with
// it.
#pragma once

#include <bit>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "run/line_log.h"

namespace megalith {

struct LedgerLine {
  std::int64_t step = 0;         // from 1
  double loss = 0;               // mean over loss_tokens, in nats; NaN or Inf only on a bad step
  double gradient_norm = 0;      // before clipping; NaN or Inf only on a bad step
  double learning_rate = 0;      // finite
  std::int64_t tokens = 0;       // read since step 1, this step included
  std::int64_t loss_tokens = 0;  // of this step that the loss counts
  bool skipped = false;          // the parameters stayed as they were
  std::string bad;  // where a value was not finite ("layer 3 attention backward"); empty on good steps
  std::optional<std::uint64_t> parameter_digest;  // after the step; none on steps where it was not computed
  std::uint64_t data_digest = 0;                  // of the token ids of the batch
  std::uint64_t fingerprint = 0;                  // numerics profile and kernel self-test

  [[nodiscard]] std::uint64_t loss_bits() const { return std::bit_cast<std::uint64_t>(loss); }
  [[nodiscard]] std::uint64_t gradient_norm_bits() const {
    return std::bit_cast<std::uint64_t>(gradient_norm);
  }
};

// One line without line feed. Bits of doubles and digests are 16 hexadecimal digits; `loss` and
// `gradient_norm` stand beside their bits for human readers, as null where they are not finite.
std::string to_text(const LedgerLine& line);
// Refuses what is no such line, also one whose number and bits disagree. `where` begins every refusal and may
// be empty.
Expected<LedgerLine> parse_ledger_line(std::string_view text, const std::string& where);

// The first field in which two lines of one step differ.
struct LedgerDifference {
  std::int64_t step = 0;
  std::string field;
  std::string expected;
  std::string found;
};
std::string to_string(const LedgerDifference& difference);
// Causes come before effects: fingerprint, data, rates, then loss, norm and parameters. Doubles compare by
// bits; a parameter digest that one side lacks is not compared. REQUIRES: both lines are of one step.
std::optional<LedgerDifference> first_difference(const LedgerLine& expected, const LedgerLine& found);

// Lines that a resume took out of the ledger because their steps are done again.
class RecheckLog {
 public:
  RecheckLog() = default;
  explicit RecheckLog(std::vector<LedgerLine> lines) : lines_(std::move(lines)) {}
  [[nodiscard]] const LedgerLine* expected(
      std::int64_t step) const;  // null when the step was not done before
  // The first difference to what was done before; none also when nothing was. Counts the comparisons.
  std::optional<LedgerDifference> check(const LedgerLine& found);
  [[nodiscard]] std::int64_t last_step() const { return lines_.empty() ? 0 : lines_.back().step; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(lines_.size()); }
  [[nodiscard]] std::int64_t compared() const { return compared_; }

 private:
  std::vector<LedgerLine> lines_;  // consecutive steps
  std::int64_t compared_ = 0;
};

// Lines of a ledger's text, steps consecutive. For readers and tests; `torn` is what was ignored at the end.
struct LedgerText {
  std::vector<LedgerLine> lines;
  std::vector<std::uint64_t> ends;  // offset after each line
  LogExtent extent;
};
Expected<LedgerText> parse_ledger(std::string_view text, const std::string& where);
Expected<LedgerText> read_ledger(const std::filesystem::path& path);  // a missing file is an empty ledger

// The ledger of the run that this process trains; the run's lock is held.
class Ledger {
 public:
  // Creates the file or reads all of it; a torn last line is cut off. Refuses a damaged one.
  static Expected<Ledger> open(const std::filesystem::path& path);
  [[nodiscard]] const std::vector<LedgerLine>& lines() const { return lines_; }
  [[nodiscard]] std::int64_t last_step() const { return lines_.empty() ? 0 : lines_.back().step; }
  // What was cut off at opening; empty when nothing was.
  [[nodiscard]] const std::string& torn() const { return torn_; }

  // REQUIRES: the step follows the last one. The line is in the file (not yet on the disk) when this returns.
  void append(const LedgerLine& line);
  void sync() { log_.sync(); }  // call before a checkpoint, so that no checkpoint is ahead of its ledger

  // Takes the lines after `step` out of file and memory and returns them. 0 takes all.
  RecheckLog truncate_after(std::int64_t step);
  // truncate_after for a resume from a checkpoint, whose own line must be the ledger's line of that step. An
  // empty ledger, or one that ends just before it, gets the line. Refuses a ledger of another run. Without a
  // checkpoint, or from one of step 0, use truncate_after(0).
  Expected<RecheckLog> resume_after(const LedgerLine& checkpoint_line);

 private:
  Ledger(std::filesystem::path path, LedgerText text);
  std::filesystem::path path_;
  LineLog log_;
  std::vector<LedgerLine> lines_;
  std::vector<std::uint64_t> ends_;
  std::string torn_;
};

}  // namespace megalith
