#include "app/training/profile_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace megalith::app {

namespace {

constexpr double kSmallShare = 0.001;   // of a step: what takes less is one line of the table
constexpr std::size_t kMostRanks = 16;  // that the table shows

// One operation on all ranks that have it.
struct Row {
  OperationTime mean;  // over all ranks
  double least = 0, most = 0;
  std::size_t fastest = 0, slowest = 0;  // ranks
};

bool same_kind(const OperationTime& a, const OperationTime& b) {
  return a.name == b.name && a.dtype == b.dtype && a.arithmetic == b.arithmetic && a.sizes == b.sizes;
}

// The longest first.
std::vector<Row> rows_of(std::span<const RankProfile> ranks) {
  std::vector<Row> rows;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    for (const OperationTime& operation : ranks[rank].operations) {
      auto row = std::find_if(rows.begin(), rows.end(),
                              [&](const Row& other) { return same_kind(other.mean, operation); });
      if (row == rows.end()) {
        Row first{.mean = operation,
                  .least = operation.seconds,
                  .most = operation.seconds,
                  .fastest = rank,
                  .slowest = rank};
        first.mean.calls = first.mean.seconds = 0;
        first.mean.cost = {};
        row = rows.insert(rows.end(), first);
      }
      const auto share = 1 / static_cast<double>(ranks.size());
      row->mean.calls += share * operation.calls;
      row->mean.seconds += share * operation.seconds;
      row->mean.cost.flops += share * operation.cost.flops;
      row->mean.cost.bytes += share * operation.cost.bytes;
      if (operation.seconds < row->least) {
        row->least = operation.seconds;
        row->fastest = rank;
      }
      if (operation.seconds > row->most) {
        row->most = operation.seconds;
        row->slowest = rank;
      }
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.mean.seconds > b.mean.seconds; });
  return rows;
}

// The mean of a number of each rank.
template <class Of>
double mean(std::span<const RankProfile> ranks, Of of) {
  double sum = 0;
  for (const RankProfile& rank : ranks) sum += of(rank);
  return sum / static_cast<double>(ranks.size());
}

double seconds_in(std::span<const RankProfile> ranks, Section section) {
  return mean(ranks,
              [&](const RankProfile& rank) { return rank.seconds[static_cast<std::size_t>(section)]; });
}

double time_in(std::span<const Row> rows) {
  double seconds = 0;
  for (const Row& row : rows) seconds += row.mean.seconds;
  return seconds;
}

profile::RooflineShare share_of(const OperationTime& operation, const profile::Ceilings& ceilings) {
  const auto time =
      std::chrono::duration_cast<profile::Clock::duration>(std::chrono::duration<double>(operation.seconds));
  return roofline_share({.label = {.arithmetic = operation.arithmetic}, .time = time, .cost = operation.cost},
                        ceilings);
}

std::string shape_text(const OperationTime& operation) {
  std::string text;
  for (const std::int64_t size : operation.sizes) {
    if (size > 0) text += (text.empty() ? "" : "x") + std::to_string(size);
  }
  return text;
}

std::string table_line(const Row& row, double steps, double step_seconds, const profile::Ceilings& ceilings,
                       bool several) {
  const OperationTime& operation = row.mean;
  const bool costs = operation.cost.bytes > 0 || operation.cost.flops > 0;
  std::string line =
      fmt::format("{:<25} {:<4} {:<20} {:>7.4g} {:>9.3f} {:>6.1f}%", operation.name,
                  costs ? name_of(operation.dtype) : "", shape_text(operation), operation.calls / steps,
                  1e3 * operation.seconds / steps, 100 * operation.seconds / step_seconds);
  std::string bound;
  if (costs) {
    const profile::RooflineShare share = share_of(operation, ceilings);
    bound =
        fmt::format(" {:>8.1f} {:>7.2f}  {:>4.0f}% of {}", 1e-9 * operation.cost.flops / operation.seconds,
                    1e-9 * operation.cost.bytes / operation.seconds, 100 * share.share,
                    share.by_memory ? "bandwidth" : "peak");
  }
  if (!several) return line + bound + "\n";
  return line + fmt::format("{:<35} {:>9.3f} {:>5} {:>9.3f} {:>5}\n", bound, 1e3 * row.least / steps,
                            row.fastest, 1e3 * row.most / steps, row.slowest);
}

// Ranks in their order or, where they are too many, those that worked most and least.
std::vector<std::size_t> shown_ranks(std::span<const RankProfile> ranks) {
  std::vector<std::size_t> shown(ranks.size());
  for (std::size_t rank = 0; rank < shown.size(); ++rank) shown[rank] = rank;
  if (shown.size() <= kMostRanks) return shown;
  std::stable_sort(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
    return ranks[a].working_seconds() > ranks[b].working_seconds();
  });
  shown.erase(shown.begin() + kMostRanks / 2, shown.end() - kMostRanks / 2);
  return shown;
}

std::string lines_of_ranks(std::span<const RankProfile> ranks) {
  const auto works_less = [](const RankProfile& a, const RankProfile& b) {
    return a.working_seconds() < b.working_seconds();
  };
  const auto [fastest, slowest] = std::minmax_element(ranks.begin(), ranks.end(), works_less);
  const std::vector<std::size_t> shown = shown_ranks(ranks);
  std::string text = fmt::format("\n{:<42} {:>20} {:>20} {:>20}\n", "rank, ms of a step", "in operations",
                                 "waiting for others", "in neither");
  for (const std::size_t index : shown) {
    const RankProfile& rank = ranks[index];
    const double step = rank.step_seconds();
    text += fmt::format("{:<42}", rank.place);
    for (const double seconds : {rank.working_seconds(), rank.waiting_seconds(),
                                 step - rank.working_seconds() - rank.waiting_seconds()}) {
      text += fmt::format(" {:>11.3f} {:>7.1f}%", 1e3 * seconds / static_cast<double>(rank.steps),
                          100 * seconds / step);
    }
    if (&rank == &*slowest) text += "  slowest";
    if (&rank == &*fastest && slowest != fastest) text += "  fastest";
    text += "\n";
  }
  if (shown.size() < ranks.size())
    text += fmt::format("{} ranks between these are left out\n", ranks.size() - shown.size());
  return text;
}

nlohmann::json operation_json(const Row& row, const profile::Ceilings& ceilings,
                              std::span<const RankProfile> ranks) {
  const OperationTime& operation = row.mean;
  const profile::RooflineShare share = share_of(operation, ceilings);
  nlohmann::json shape = nlohmann::json::array();
  for (const std::int64_t size : operation.sizes) {
    if (size > 0) shape.push_back(size);
  }
  nlohmann::json object = {{"operation", operation.name},
                           {"dtype", name_of(operation.dtype)},
                           {"shape", shape},
                           {"calls", operation.calls},
                           {"seconds", operation.seconds},
                           {"flops", operation.cost.flops},
                           {"bytes", operation.cost.bytes},
                           {"share_of_ceiling", share.share},
                           {"bound", share.by_memory ? "bandwidth" : "peak"}};
  if (ranks.size() > 1) {
    object["fastest"] = {{"rank", row.fastest}, {"seconds", row.least}};
    object["slowest"] = {{"rank", row.slowest}, {"seconds", row.most}};
  }
  return object;
}

nlohmann::json ranks_json(std::span<const RankProfile> ranks) {
  nlohmann::json list = nlohmann::json::array();
  for (const RankProfile& rank : ranks) {
    list.push_back({{"place", rank.place},
                    {"step_seconds", rank.step_seconds()},
                    {"operation_seconds", rank.working_seconds()},
                    {"waiting_seconds", rank.waiting_seconds()}});
  }
  return list;
}

}  // namespace

const char* name_of(Section section) {
  constexpr std::array<const char*, kNumSections> kNames = {"step", "validation", "sample", "checkpoint",
                                                            "other"};
  return kNames.at(static_cast<std::size_t>(section));
}

double RankProfile::waiting_seconds() const {
  double sum = 0;
  for (const OperationTime& operation : operations) sum += operation.waits() ? operation.seconds : 0;
  return sum;
}

double RankProfile::working_seconds() const {
  double sum = 0;
  for (const OperationTime& operation : operations) sum += operation.waits() ? 0 : operation.seconds;
  return sum;
}

std::string to_text(const RankProfile& profile) {
  nlohmann::json operations = nlohmann::json::array();
  for (const OperationTime& operation : profile.operations) {
    operations.push_back({operation.name, static_cast<int>(operation.dtype),
                          static_cast<int>(operation.arithmetic), operation.sizes, operation.calls,
                          operation.seconds, operation.cost.flops, operation.cost.bytes});
  }
  return nlohmann::json({profile.place, profile.steps, profile.seconds, operations}).dump();
}

RankProfile rank_profile_from(const std::string& text) {
  const nlohmann::json array = nlohmann::json::parse(text);
  RankProfile profile;
  array.at(0).get_to(profile.place);
  array.at(1).get_to(profile.steps);
  array.at(2).get_to(profile.seconds);
  for (const nlohmann::json& one : array.at(3)) {
    OperationTime operation;
    one.at(0).get_to(operation.name);
    operation.dtype = static_cast<DType>(one.at(1).get<int>());
    operation.arithmetic = static_cast<DType>(one.at(2).get<int>());
    one.at(3).get_to(operation.sizes);
    one.at(4).get_to(operation.calls);
    one.at(5).get_to(operation.seconds);
    one.at(6).get_to(operation.cost.flops);
    one.at(7).get_to(operation.cost.bytes);
    profile.operations.push_back(std::move(operation));
  }
  return profile;
}

std::string profile_table(std::span<const RankProfile> ranks, const profile::Ceilings& ceilings) {
  if (ranks[0].steps == 0) return "profile: no step was done\n";
  const bool several = ranks.size() > 1;
  const auto steps = static_cast<double>(ranks[0].steps);
  const double step_seconds = seconds_in(ranks, Section::step);
  const std::vector<Row> rows = rows_of(ranks);
  std::string text = fmt::format(
      "\nprofile of {} steps{}, {:.2f} ms each; ceilings measured here: {:.0f} GFLOP/s bf16, {:.0f} f32, "
      "{:.1f} GB/s copied\n",
      ranks[0].steps, several ? fmt::format(" on {} ranks", ranks.size()) : "", 1e3 * step_seconds / steps,
      1e-9 * ceilings.bf16_flops, 1e-9 * ceilings.f32_flops, 1e-9 * ceilings.bandwidth);
  text += fmt::format("{:<30} {:<20} {:>7} {:>9} {:>7} {:>8} {:>7}  {}", "operation", "shape", "calls", "ms",
                      "of step", "GFLOP/s", "GB/s", "of its ceiling");
  text += several ? fmt::format("   {:>9} {:>5} {:>9} {:>5}\n", "least ms", "rank", "most ms", "rank") : "\n";
  const auto small = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
    return row.mean.seconds < kSmallShare * step_seconds;
  });
  for (auto row = rows.begin(); row != small; ++row)
    text += table_line(*row, steps, step_seconds, ceilings, several);
  const auto sum_line = [&](const std::string& name, double seconds) {
    text +=
        fmt::format("{:<58} {:>9.3f} {:>6.1f}%\n", name, 1e3 * seconds / steps, 100 * seconds / step_seconds);
  };
  if (const std::span<const Row> folded(small, rows.end()); !folded.empty())
    sum_line(fmt::format("{} smaller ones", folded.size()), time_in(folded));
  sum_line("not in operations", step_seconds - time_in(rows));
  text += fmt::format(
      "outside the steps: validation {:.2f} s, samples {:.2f} s, checkpoints {:.2f} s, other {:.2f} s\n",
      seconds_in(ranks, Section::validation), seconds_in(ranks, Section::sample),
      seconds_in(ranks, Section::checkpoint), seconds_in(ranks, Section::other));
  text += "(FLOPs and bytes as operations declare them; above 100%: operands were still in a cache)\n";
  if (several) {
    text +=
        "(means over all ranks; least and most: of the ranks that have the operation; ceilings: of the first "
        "rank's processors)\n";
    text += lines_of_ranks(ranks);
  }
  return text;
}

std::string profile_json(std::span<const RankProfile> ranks, const profile::Ceilings& ceilings) {
  const std::vector<Row> rows = rows_of(ranks);
  nlohmann::json operations = nlohmann::json::array();
  for (const Row& row : rows) operations.push_back(operation_json(row, ceilings, ranks));
  nlohmann::json outside;
  for (std::size_t i = 1; i < kNumSections; ++i) {
    const auto section = static_cast<Section>(i);
    outside[name_of(section)] = seconds_in(ranks, section);
  }
  const double step_seconds = seconds_in(ranks, Section::step);
  nlohmann::json profile = {{"steps", ranks[0].steps},
                            {"step_seconds", step_seconds},
                            {"not_in_operations_seconds", step_seconds - time_in(rows)},
                            {"outside_seconds", outside},
                            {"peak_flops_bf16", ceilings.bf16_flops},
                            {"peak_flops_f32", ceilings.f32_flops},
                            {"copy_bytes_per_second", ceilings.bandwidth},
                            {"operations", operations}};
  if (ranks.size() > 1) profile["ranks"] = ranks_json(ranks);
  return nlohmann::json({{"profile", profile}}).dump() + "\n";
}

}  // namespace megalith::app
