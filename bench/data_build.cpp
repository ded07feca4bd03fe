// Lines of JSON, packed by zstd, to token files. The ceiling is the tokenizer alone on the same texts in
// memory: reading, unpacking, parsing and writing should cost little beside it.
//   bench_data_build [--threads N] [--rounds N] [--json] [TEXT_FILE]
#include <fmt/format.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/thread_pool.h"
#include "data/build.h"
#include "data/record_texts.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/token_encoder.h"
#include "harness.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTextBytes = std::size_t{48} << 20;
constexpr std::size_t kDocumentBytes = 3000;  // about The Pile's median

std::vector<std::string> documents_of(const std::string& text) {
  std::vector<std::string> documents;
  for (std::size_t total = 0, at = 0; total < kTextBytes; at = (at + kDocumentBytes) % text.size()) {
    documents.push_back(text.substr(at, kDocumentBytes));
    total += documents.back().size();
  }
  return documents;
}

std::string packed_lines(const std::vector<std::string>& documents) {
  std::string lines;
  for (const std::string& document : documents) {
    lines += nlohmann::json{{"text", document}, {"meta", {{"pile_set_name", "bench"}}}}.dump(
                 -1, ' ', false, nlohmann::json::error_handler_t::replace) +
             "\n";
  }
  std::string packed(ZSTD_compressBound(lines.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), lines.data(), lines.size(), 3));
  return packed;
}

void run(const bench::Options& options) {
  const int threads = options.threads > 0 ? options.threads : usable_processors();
  const fs::path file = options.rest.empty() ? ".cache/jargon.txt" : options.rest.front();
  const std::string text = value_or_throw(read_file(file, std::size_t{1} << 30));
  TextsInMemory source({text});
  const Tokenizer tokenizer =
      value_or_throw(train_bpe(source, {.vocabulary_size = 16384, .num_threads = threads}));
  const std::vector<std::string> documents = documents_of(text);
  const fs::path folder = fs::temp_directory_path() / fmt::format("megalith-bench-{}", ::getpid());
  fs::create_directories(folder);
  const fs::path packed = folder / "text.jsonl.zst";
  write_file_atomically(packed, packed_lines(documents));

  ThreadPool pool(threads);
  const auto encode_all = [&] {
    std::vector<TokenEncoder> encoders;
    for (int i = 0; i < threads; ++i) encoders.emplace_back(tokenizer);
    constexpr std::int64_t kEach = 256;  // documents to a task
    const auto count = static_cast<std::int64_t>(documents.size());
    pool.for_each((count + kEach - 1) / kEach, [&](std::int64_t task, int thread) {
      std::vector<std::int32_t> ids;
      for (std::int64_t d = task * kEach; d < std::min(count, (task + 1) * kEach); ++d) {
        encoders[static_cast<std::size_t>(thread)].encode(documents[static_cast<std::size_t>(d)], ids);
      }
    });
  };
  const auto read_all = [&] {
    RecordTexts texts({packed}, {});
    for (std::string_view one; texts.next(one);) {
    }
  };
  const auto build = [&](int workers) {
    const std::vector<fs::path> files{packed};
    value_or_throw(build_token_files(
        files, tokenizer, {.output_prefix = folder / "t", .held_out_every = 0, .num_workers = workers}));
  };
  const double work = static_cast<double>(documents.size() * kDocumentBytes) / 1e6;
  const std::vector<bench::Candidate> candidates{
      {fmt::format("tokenizer alone, {} threads", threads), work, encode_all},
      {fmt::format("data build, {} workers", threads), work, [&] { build(threads); }},
      {"data build, 1 worker", work, [&] { build(1); }},
      {"reading alone, 1 thread", work, read_all}};
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  bench::Report report(options, "Lines of JSON in zstd to token files; the ratio is to the tokenizer alone");
  const double ceiling = work / timings[0].best_seconds;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    report.add(candidates[i].name, work / timings[i].best_seconds, "MB/s", ceiling,
               timings[i].median_seconds / timings[i].best_seconds);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  megalith::run(megalith::bench::parse_options(argc, argv));
}
