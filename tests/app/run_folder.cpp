#include "app/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

namespace megalith::app {

RunFolder::RunFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "megalith-run-XXXXXX").string();
  path_ = ::mkdtemp(name.data());
}

RunFolder::~RunFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

void RunFolder::write(const std::string& name, std::string_view text) const {
  std::filesystem::create_directories((path_ / name).parent_path());
  std::ofstream(path_ / name, std::ios::binary) << text;
}

void RunFolder::fill(int steps) const {
  std::string ledger;
  std::string metrics;
  for (int step = 1; step <= steps; ++step) {
    ledger += fmt::format(
        R"({{"step":{},"loss":{},"loss_bits":"40400000","gradient_norm":1.5,"learning_rate":0.001,"tokens":{}}})",
        step, 3 + 5 * std::exp(-step / 50.0), 2048 * step);
    ledger += '\n';
    metrics += fmt::format(
        R"({{"step":{},"tokens_per_second":{},"mfu":0.4,"mfu_palm":0.44,"joules_per_token":0.025}})", step,
        14000 + step % 7);
    metrics += '\n';
  }
  metrics += fmt::format(R"({{"step":{},"validation_loss":3.5}})", steps) + "\n";
  metrics += R"({"step":1,"memory_bytes/workspace":1048576,"memory_predicted_bytes/workspace":2097152})";
  metrics += "\n";
  write("ledger.jsonl", ledger);
  write("metrics.jsonl", metrics);
  write("config.toml", "seed = 1\n[model]\nlayers = 4\n");
  write("run.json",
        R"({"format":"megalith run","version":1,"program_version":"0.1.0","created":"2026-01-01T00:00:00Z",
"machine":{"processor":"a processor","parameters":"4286464","peak_gflops":"800","mfu_palm_formula":"6 parameters and so on"}})");
  write(
      "evaluation.json",
      R"({"held_out_bits_per_byte":2.1,"held_out_bytes":70000,"held_out_tokens":22000,"loss_nats_per_token":3.9,
"baselines":[{"name":"unigram","bits_per_byte":2.76,"note":"same tokenizer"},{"name":"stronger","bits_per_byte":1.9}],
"sample_checks":{"known_share":0.9}})");
  write("samples/000100.json", R"({"step":100,"prompt":"The ","text":"The hacker is a term."})");
}

}  // namespace megalith::app
