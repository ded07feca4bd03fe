// GPT-2's own two files, and the choice between all files a folder may hold.
//   vocab.json (encoder.json)   {"spelling": id, ...} in the byte-level alphabet
//   merges.txt (vocab.bpe)      "#version: ..." (or not), then one "left right" per line, in order of rank
#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"
#include "data/tokenizer/tokenizer_model.h"
#include "data/tokenizer/vocabulary_files.h"

namespace megalith {
namespace {

constexpr std::size_t kLargestFile = std::size_t{64} << 20;

void read_merge_lines(std::string_view text, PartsReader& parts, std::string_view name) {
  std::size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;
    const std::string where = fmt::format("{}:{}", name, line_number);
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      parts.refuse_because(where, quoted_for_message(line), "two pieces with a space between");
      continue;
    }
    parts.add_merge(line.substr(0, space), line.substr(space + 1), where);
  }
}

Expected<Tokenizer> load_pair(const std::filesystem::path& vocabulary, const std::filesystem::path& merges) {
  Expected<std::string> vocabulary_text = read_file(vocabulary, kLargestFile);
  if (!vocabulary_text) return refuse(std::move(vocabulary_text).error());
  Expected<std::string> merges_text = read_file(merges, kLargestFile);
  if (!merges_text) return refuse(std::move(merges_text).error());
  return Tokenizer::parse_gpt2_files(*vocabulary_text, vocabulary.string(), *merges_text, merges.string());
}

// A rank file begins with base64, a JSON document never does.
bool looks_like_ranks(const std::filesystem::path& path, std::string_view text) {
  if (path.extension() == ".tiktoken") return true;
  const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size()));
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == line.size()) return false;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(space),
                     [&](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '+' ||
                              c == '/' || c == '=';
                     }) &&
         is_digit(line[space + 1]);
}

Refusal pattern_of_its_own(const std::filesystem::path& path) {
  return {.where = path.string(),
          .found = "a tokenizer that says itself how it cuts text, and a pattern besides",
          .allowed = "a pattern with tiktoken's rank files only",
          .nearest = ""};
}

Expected<Tokenizer> load_file(const std::filesystem::path& path, std::optional<PiecePattern> pattern) {
  Expected<std::string> text = read_file(path, kLargestFile);
  if (!text) return refuse(std::move(text).error());
  if (looks_like_ranks(path, *text)) return Tokenizer::parse_rank_file(*text, path.string(), pattern);
  if (pattern) return refuse(pattern_of_its_own(path));
  return Tokenizer::parse_json(*text, path.string());
}

// The one .tiktoken file of a folder; nothing where there is none or a choice.
std::optional<std::filesystem::path> only_rank_file(const std::filesystem::path& folder) {
  std::error_code error;
  std::optional<std::filesystem::path> found;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".tiktoken") continue;
    if (found) return std::nullopt;
    found = at->path();
  }
  return found;
}

}  // namespace

Expected<Tokenizer> Tokenizer::parse_gpt2_files(std::string_view vocabulary, std::string_view vocabulary_name,
                                                std::string_view merges, std::string_view merges_name) {
  Expected<nlohmann::json> document = parse_strict_json(vocabulary, vocabulary_name);
  if (!document) return refuse(std::move(document).error());
  PartsReader parts(vocabulary_name);
  if (!document->is_object()) {
    parts.refuse_because("document", kind_of(*document), "an object from pieces to ids");
    return std::move(parts).finish();
  }
  const auto end = document->find(kEndOfDocument);
  if (end != document->end() && end->is_number_unsigned() && end->get<std::uint64_t>() < kLargestVocabulary) {
    parts.add_token({.id = static_cast<std::int32_t>(end->get<std::uint64_t>())},
                    std::string(kEndOfDocument));
  }
  parts.read_vocabulary(*document, "vocabulary");
  if (!parts.any_problem()) read_merge_lines(merges, parts, merges_name);
  return std::move(parts).finish();
}

Expected<Tokenizer> Tokenizer::load(const std::filesystem::path& path, std::optional<PiecePattern> pattern) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return load_file(path, pattern);
  const auto there = [&](const char* name) { return std::filesystem::exists(path / name, error); };
  if (there("tokenizer.json")) return load_file(path / "tokenizer.json", pattern);
  constexpr std::array<std::pair<const char*, const char*>, 2> kPairs{
      {{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}}};
  for (const auto& [vocabulary, merges] : kPairs) {
    if (!there(vocabulary) || !there(merges)) continue;
    if (pattern) return refuse(pattern_of_its_own(path));
    return load_pair(path / vocabulary, path / merges);
  }
  if (const auto ranks = only_rank_file(path)) return load_file(*ranks, pattern);
  return refuse({.where = path.string(),
                 .found = "a folder without a tokenizer",
                 .allowed =
                     "a folder with tokenizer.json, with vocab.json and merges.txt, with encoder.json and "
                     "vocab.bpe, or with one .tiktoken file",
                 .nearest = "megalith tokenizer train"});
}

}  // namespace megalith
