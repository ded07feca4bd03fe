#include "data/verify.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/digest.h"
#include "data/token_file.h"
#include "data/token_meta.h"

namespace megalith {
namespace {

std::filesystem::path with_suffix(const std::filesystem::path& prefix, const char* suffix) {
  std::filesystem::path path = prefix;
  path += suffix;
  return path;
}

void check_digest(const std::filesystem::path& path, const std::string& expected, Refusals& refusals) {
  const MappedFile file = value_or_throw(MappedFile::open(path));
  const std::string found = to_hex(digest_bytes(file.bytes().data(), file.bytes().size()));
  if (found == expected) return;
  refusals.push_back({.where = path.string(),
                      .found = "digest " + found,
                      .allowed = expected + ", which the .meta.json beside it says",
                      .nearest = ""});
}

void check_count(const std::filesystem::path& prefix, const char* what, std::int64_t found,
                 std::int64_t expected, Refusals& refusals) {
  if (found == expected) return;
  refusals.push_back({.where = with_suffix(prefix, ".idx").string(),
                      .found = fmt::format("{} {}", found, what),
                      .allowed = fmt::format("{}, which the .meta.json beside it says", expected),
                      .nearest = ""});
}

void check_document_facts(const std::filesystem::path& prefix, const TokenFile& tokens, Refusals& refusals) {
  const std::filesystem::path path = with_suffix(prefix, ".documents");
  check_digest(path, tokens.meta()->documents_digest, refusals);
  for (std::int64_t d = 0; d < tokens.num_documents(); ++d) {
    if (tokens.facts().prompt_tokens(d) <= tokens.document(d).count) continue;
    refusals.push_back(
        {.where = path.string(),
         .found = fmt::format("document {} with {} tokens of prompt", d, tokens.facts().prompt_tokens(d)),
         .allowed = fmt::format("its {} tokens", tokens.document(d).count),
         .nearest = ""});
    return;
  }
}

}  // namespace

Expected<void> verify_token_file(const std::filesystem::path& prefix) {
  const auto file = TokenFile::open(prefix);
  if (!file) return tl::unexpected(file.error());
  if (const Expected<void> ok = (*file)->check_index(); !ok) return ok;
  const std::optional<TokenMeta>& meta = (*file)->meta();
  Refusals refusals;
  std::int64_t vocabulary =
      std::numeric_limits<std::int32_t>::max();  // which numbers that are no ids read as
  if (meta) {
    vocabulary = meta->vocabulary;
    check_digest(with_suffix(prefix, ".idx"), meta->idx_digest, refusals);
    check_digest(with_suffix(prefix, ".bin"), meta->bin_digest, refusals);
    if (!meta->documents_digest.empty()) check_document_facts(prefix, **file, refusals);
    check_count(prefix, "tokens", (*file)->num_tokens(), meta->tokens, refusals);
    check_count(prefix, "documents", (*file)->num_documents(), meta->documents, refusals);
  }
  if ((*file)->largest_id() >= vocabulary) {
    refusals.push_back({.where = with_suffix(prefix, ".bin").string(),
                        .found = meta ? fmt::format("id {}", (*file)->largest_id())
                                      : "a negative number, or one of 2147483647 or above",
                        .allowed = fmt::format("ids 0..{}", vocabulary - 1),
                        .nearest = ""});
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

Expected<TokenFileFacts> inspect_token_file(const std::filesystem::path& prefix) {
  const auto opened = TokenFile::open(prefix);
  if (!opened) return tl::unexpected(opened.error());
  const TokenFile& file = **opened;
  TokenFileFacts facts;
  facts.tokens = file.num_tokens();
  facts.sequences = file.num_sequences();
  facts.documents = file.num_documents();
  facts.type = file.type_name();
  facts.largest_id = file.largest_id();
  if (file.meta()) facts.vocabulary = file.meta()->vocabulary;
  if (facts.documents == 0) return facts;
  std::vector<std::int64_t> lengths;
  lengths.reserve(static_cast<std::size_t>(facts.documents));
  for (std::int64_t d = 0; d < facts.documents; ++d) lengths.push_back(file.document(d).count);
  const auto middle = lengths.begin() + (facts.documents - 1) / 2;
  std::nth_element(lengths.begin(), middle, lengths.end());
  facts.median_document = *middle;
  const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
  facts.shortest_document = *shortest;
  facts.longest_document = *longest;
  return facts;
}

}  // namespace megalith
