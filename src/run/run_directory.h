// A run is a directory:
//   run.json       how it came to be: program version, time, machine; written last, so that its presence
//   means "whole" config.toml    the frozen config ledger.jsonl   what every step came to metrics.jsonl  what
//   was measured checkpoints/   step-00001000/ ...                samples/       generated texts lock who is
//   working on it
// Reading needs no lock; training takes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/error.h"
#include "run/run_lock.h"

namespace megalith {

// How a run came to be. Only for its readers; nothing depends on it.
struct CreationFacts {
  std::string program_version;
  std::string created;                         // UTC, "2026-05-01T12:00:00Z"; filled in when empty
  std::map<std::string, std::string> machine;  // "processor", "threads", "kernel family", ...
};

class RunDirectory {
 public:
  // The lock of a run that is to be created here, so that of several creators only one writes. Makes the
  // folder; refuses what create() refuses, and a run that another process has made in the meantime. Throws
  // WorldFailed.
  static Expected<RunLock> claim(const std::filesystem::path& folder);
  // Creates the run with this config (TOML text, kept as it is), and the folders above it. Refused where a
  // run, a file or a folder with other things in it stands; what a creation cut short has left is completed.
  // Throws WorldFailed.
  static Expected<RunDirectory> create(const std::filesystem::path& folder, std::string_view config,
                                       CreationFacts facts);
  // An existing run. Refuses anything else.
  static Expected<RunDirectory> open(const std::filesystem::path& folder);
  // open() where a run is, create() where none is. Compare config() with yours: an existing run keeps its
  // own.
  static Expected<RunDirectory> open_or_create(const std::filesystem::path& folder, std::string_view config,
                                               CreationFacts facts);
  static bool is_run(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const std::string& config() const { return config_; }
  [[nodiscard]] const CreationFacts& facts() const { return facts_; }
  [[nodiscard]] std::filesystem::path config_file() const { return folder_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path ledger_file() const { return folder_ / "ledger.jsonl"; }
  [[nodiscard]] std::filesystem::path metrics_file() const { return folder_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path tensorboard() const { return folder_ / "tensorboard"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  [[nodiscard]] std::filesystem::path samples() const { return folder_ / "samples"; }

  // Held as long as the lock lives. Refused while another process has it.
  [[nodiscard]] Expected<RunLock> lock() const { return RunLock::take(folder_ / "lock"); }

 private:
  std::filesystem::path folder_;
  std::string config_;
  CreationFacts facts_;
};

}  // namespace megalith
