#include "data/verify.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/digest.h"
#include "data/token_file.h"
#include "data/token_file_names.h"
#include "data/token_meta.h"
#include "data/token_set.h"

namespace megalith {
namespace {

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

// The first number that is no id of the vocabulary, and where it stands. There is one.
std::string first_outside(const TokenFile& tokens, std::int64_t vocabulary, bool has_meta) {
  for (std::int64_t t = 0; t < tokens.num_tokens(); ++t) {
    std::int32_t id = 0;
    tokens.read(t, 1, &id);
    if (id < vocabulary) continue;
    return fmt::format(
        "{} at byte {}, token {}",
        has_meta ? fmt::format("id {}", id) : "a negative number, or one of 2147483647 or above,",
        t * static_cast<std::int64_t>(token_type_size(tokens.type())), t);
  }
  return "";
}

Expected<void> verify_pair(const std::filesystem::path& prefix) {
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
                        .found = first_outside(**file, vocabulary, meta.has_value()),
                        .allowed = fmt::format("ids 0..{}", vocabulary - 1),
                        .nearest = ""});
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  return {};
}

}  // namespace

Expected<void> verify_token_files(const std::filesystem::path& name) {
  const auto prefixes = token_file_prefixes(name);
  if (!prefixes) return tl::unexpected(prefixes.error());
  Refusals refusals;
  for (const std::filesystem::path& prefix : *prefixes) {
    const Expected<void> ok = verify_pair(prefix);
    if (!ok) refusals.insert(refusals.end(), ok.error().begin(), ok.error().end());
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  const auto set = TokenSet::open(name);  // whether the files belong together
  if (!set) return tl::unexpected(set.error());
  return {};
}

Expected<TokenFileFacts> inspect_token_files(const std::filesystem::path& name) {
  const auto opened = TokenSet::open(name);
  if (!opened) return tl::unexpected(opened.error());
  const TokenSet& set = **opened;
  TokenFileFacts facts;
  facts.files = static_cast<std::int64_t>(set.files().size());
  facts.tokens = set.num_tokens();
  facts.documents = set.num_documents();
  facts.largest_id = set.largest_id();
  for (const auto& file : set.files()) {
    facts.sequences += file->num_sequences();
    if (facts.type.find(file->type_name()) == std::string::npos)
      facts.type += (facts.type.empty() ? "" : ", ") + std::string(file->type_name());
    if (file->meta()) facts.vocabulary = file->meta()->vocabulary;
  }
  if (facts.documents == 0) return facts;
  std::vector<std::int64_t> lengths;
  lengths.reserve(static_cast<std::size_t>(facts.documents));
  for (std::int64_t d = 0; d < facts.documents; ++d) lengths.push_back(set.document(d).count);
  const auto middle = lengths.begin() + (facts.documents - 1) / 2;
  std::nth_element(lengths.begin(), middle, lengths.end());
  facts.median_document = *middle;
  const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
  facts.shortest_document = *shortest;
  facts.longest_document = *longest;
  return facts;
}

}  // namespace megalith
