// What the profiles of a run's ranks say together: a table for people and an object for programs.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "device/profile/operation_log.h"
#include "device/profile/roofline.h"

namespace megalith::app {

// What a run does, one after the other.
enum class Section : std::uint8_t { step, validation, sample, checkpoint, other };
inline constexpr std::size_t kNumSections = 5;
const char* name_of(Section section);

// profile::OperationTotal as it travels between ranks.
struct OperationTime {
  std::string name;
  DType dtype = DType::f32, arithmetic = DType::f32;
  std::array<std::int64_t, 4> sizes{};
  double calls = 0;
  double seconds = 0;
  Cost cost;
  // Waiting for other ranks.
  [[nodiscard]] bool waits() const { return name.starts_with(kWait); }
  static constexpr const char* kWait = "wait for ";
};

struct RankProfile {
  std::string place;  // "rank 3: stage 1, data 0, tensor 1"; "" of one rank alone
  std::int64_t steps = 0;
  std::array<double, kNumSections> seconds{};
  std::vector<OperationTime> operations;

  [[nodiscard]] double step_seconds() const { return seconds[0]; }
  [[nodiscard]] double waiting_seconds() const;
  [[nodiscard]] double working_seconds() const;  // in all other operations
};

// As it is told to another rank.
std::string to_text(const RankProfile& profile);
RankProfile rank_profile_from(const std::string& text);

// `ranks`: of all ranks in their order, at least one. Of several, times are means over all of them; beside
// each operation stand its shortest and longest time on a rank that has it, and below all what each rank
// worked and waited.
std::string profile_table(std::span<const RankProfile> ranks, const profile::Ceilings& ceilings);
std::string profile_json(std::span<const RankProfile> ranks,
                         const profile::Ceilings& ceilings);  // one line: {"profile": {...}}

}  // namespace megalith::app
