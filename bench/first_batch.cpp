// How long a huge data set takes from its files to the first batch. The files are made for the occasion:
// documents of one or two tokens, so that the index is many times the size of the text.
//   bench_first_batch [--rounds N] [--json] [DOCUMENTS] [FOLDER]     27 bytes of disk a document
#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "data/dataset.h"
#include "data/token_index.h"
#include "data/token_set.h"
#include "harness.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

// Writes `count` numbers, the i-th by `number(i)`.
template <class T, class Number>
void write_numbers(OutputFile& file, std::int64_t count, const Number& number) {
  std::vector<T> buffer;
  constexpr std::size_t kPortion = 1 << 20;
  for (std::int64_t i = 0; i < count; ++i) {
    buffer.push_back(static_cast<T>(number(i)));
    if (buffer.size() < kPortion && i + 1 < count) continue;
    file.write(buffer.data(), buffer.size() * sizeof(T));
    buffer.clear();
  }
}

void write_files(const fs::path& prefix, std::int64_t documents) {
  const auto length = [](std::int64_t d) { return 1 + d % 2; };
  const auto first_token = [](std::int64_t d) { return d + d / 2; };
  OutputFile bin(prefix.string() + ".bin");
  write_numbers<std::uint16_t>(bin, first_token(documents), [](std::int64_t t) { return t % 50000; });
  bin.close();
  OutputFile idx(prefix.string() + ".idx");
  idx.write(token_index::kMagic);
  const auto count = static_cast<std::uint64_t>(documents);
  write_numbers<std::uint64_t>(idx, 1, [](std::int64_t) { return token_index::kVersion; });
  write_numbers<std::uint8_t>(idx, 1, [](std::int64_t) { return TokenType::uint16; });
  write_numbers<std::uint64_t>(idx, 2, [&](std::int64_t i) { return count + static_cast<std::uint64_t>(i); });
  write_numbers<std::int32_t>(idx, documents, length);
  write_numbers<std::int64_t>(idx, documents, [&](std::int64_t d) { return 2 * first_token(d); });
  write_numbers<std::int64_t>(idx, documents + 1, [](std::int64_t d) { return d; });
  idx.close();
}

void first_batch(const fs::path& prefix) {
  constexpr std::int64_t kSequence = 2048, kSequences = 16;
  const auto dataset = make_token_dataset(value_or_throw(TokenSet::open(prefix)),
                                          {.sequence = kSequence, .shuffle_seed = 1, .document_masks = true});
  std::vector<std::int32_t> ids(kSequence), targets(kSequence), start(kSequence);
  std::vector<std::uint8_t> mask(kSequence);
  for (std::int64_t i = 0; i < kSequences; ++i)
    dataset->fill(i, ids.data(), targets.data(), mask.data(), start.data());
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const std::int64_t documents = options.rest.empty() ? 10'000'000 : std::stoll(options.rest[0]);
  const fs::path folder = (options.rest.size() > 1 ? fs::path(options.rest[1]) : fs::temp_directory_path()) /
                          fmt::format("megalith-bench-{}", ::getpid());
  fs::create_directories(folder);
  write_files(folder / "t", documents);
  const std::vector<bench::Candidate> candidates{
      {fmt::format("{} documents, first batch", documents), 1, [&] { first_batch(folder / "t"); }}};
  const bench::Timing timing = bench::take_turns(candidates, options)[0];
  {
    bench::Report report(options, "From the files to 16 sequences of 2,048 tokens");
    report.add(candidates[0].name, timing.best_seconds * 1e3, "ms", 0,
               timing.median_seconds / timing.best_seconds);
  }
  fs::remove_all(folder);
}
