#include "run/ledger.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace megalith {

const LedgerLine* RecheckLog::expected(std::int64_t step) const {
  if (lines_.empty() || step < lines_.front().step || step > lines_.back().step) return nullptr;
  return &lines_[static_cast<std::size_t>(step - lines_.front().step)];
}

std::optional<LedgerDifference> RecheckLog::check(const LedgerLine& found) {
  const LedgerLine* before = expected(found.step);
  if (before == nullptr) return std::nullopt;
  ++compared_;
  return first_difference(*before, found);
}

Expected<LedgerText> parse_ledger(std::string_view text, const std::string& where) {
  LedgerText ledger;
  const auto take_line = [&](std::string_view line, std::int64_t, std::uint64_t end) -> Expected<void> {
    Expected<LedgerLine> parsed = parse_ledger_line(line, "");
    if (!parsed) return tl::unexpected(std::move(parsed).error());
    if (!ledger.lines.empty() && parsed->step != ledger.lines.back().step + 1) {
      return refuse(
          {.where = "step",
           .found = fmt::format("{}", parsed->step),
           .allowed = fmt::format("{}, the step after the line before", ledger.lines.back().step + 1),
           .nearest = ""});
    }
    ledger.lines.push_back(std::move(*parsed));
    ledger.ends.push_back(end);
    return {};
  };
  Expected<LogExtent> extent = read_lines(text, where, take_line);
  if (!extent) return tl::unexpected(std::move(extent).error());
  ledger.extent = std::move(*extent);
  return ledger;
}

Expected<LedgerText> read_ledger(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::not_found) {
    return LedgerText{};
  }
  Expected<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(std::move(file).error());
  return parse_ledger(file->text(), path.string());
}

Expected<Ledger> Ledger::open(const std::filesystem::path& path) {
  Expected<LedgerText> text = read_ledger(path);
  if (!text) return tl::unexpected(std::move(text).error());
  return Ledger(path, std::move(*text));
}

Ledger::Ledger(std::filesystem::path path, LedgerText text)
    : path_(std::move(path)),
      log_(path_, text.extent),
      lines_(std::move(text.lines)),
      ends_(std::move(text.ends)),
      torn_(std::move(text.extent.torn)) {
  if (text.extent.unended) ++ends_.back();  // the log has just added the line feed
}

void Ledger::append(const LedgerLine& line) {
  MEGALITH_CHECK(lines_.empty() || line.step == last_step() + 1, "step {} after {}", line.step, last_step());
  const std::string text = to_text(line);
  log_.append(text);
  ends_.push_back((ends_.empty() ? 0 : ends_.back()) + text.size() + 1);
  lines_.push_back(line);
}

RecheckLog Ledger::truncate_after(std::int64_t step) {
  const auto first =
      std::find_if(lines_.begin(), lines_.end(), [&](const LedgerLine& l) { return l.step > step; });
  if (first == lines_.end()) return {};
  const auto kept = static_cast<std::size_t>(first - lines_.begin());
  std::error_code failure;
  std::filesystem::resize_file(path_, kept == 0 ? 0 : ends_[kept - 1], failure);
  if (failure) throw WorldFailed(fmt::format("cutting {}: {}", path_.string(), failure.message()));
  RecheckLog removed(std::vector<LedgerLine>(first, lines_.end()));
  lines_.resize(kept);
  ends_.resize(kept);
  return removed;
}

Expected<RecheckLog> Ledger::resume_after(const LedgerLine& checkpoint_line) {
  const std::int64_t step = checkpoint_line.step;
  if (lines_.empty() || last_step() == step - 1) {
    append(checkpoint_line);
    return RecheckLog{};
  }
  const std::int64_t first = lines_.front().step;
  if (step < first || step > last_step()) {
    return refuse({.where = path_.string(),
                   .found = fmt::format("steps {} to {}", first, last_step()),
                   .allowed = fmt::format("a ledger that reaches step {}, where the checkpoint is", step),
                   .nearest = "the ledger of this run, or none: without the file a new one begins"});
  }
  const LedgerLine& own = lines_[static_cast<std::size_t>(step - first)];
  if (const auto difference = first_difference(own, checkpoint_line)) {
    return refuse({.where = path_.string(),
                   .found = fmt::format("step {}: {} {}", step, difference->field, difference->expected),
                   .allowed = fmt::format("{}, as in the checkpoint", difference->found),
                   .nearest = "the ledger of this run, or none: without the file a new one begins"});
  }
  return truncate_after(step);
}

}  // namespace megalith
