#include "data/token_set.h"

#include <algorithm>
#include <utility>

#include "data/token_file_names.h"

namespace megalith {
namespace {

// Which part the number lies in; empty parts hold none.
std::size_t part_of(const std::vector<std::int64_t>& firsts, std::int64_t number) {
  return static_cast<std::size_t>(std::upper_bound(firsts.begin(), firsts.end(), number) - firsts.begin() -
                                  1);
}

}  // namespace

Expected<std::shared_ptr<const TokenSet>> TokenSet::open(const std::filesystem::path& name) {
  const Expected<std::vector<std::filesystem::path>> prefixes = token_file_prefixes(name);
  if (!prefixes) return tl::unexpected(prefixes.error());
  const std::shared_ptr<TokenSet> set(new TokenSet);
  Refusals refusals;
  for (const std::filesystem::path& prefix : *prefixes) {
    Expected<std::shared_ptr<const TokenFile>> file = TokenFile::open(prefix);
    if (!file) {
      refusals.insert(refusals.end(), file.error().begin(), file.error().end());
      continue;
    }
    set->first_tokens_.push_back(set->num_tokens() + (*file)->num_tokens());
    set->first_documents_.push_back(set->num_documents() + (*file)->num_documents());
    set->files_.push_back(std::move(*file));
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  if (Expected<void> ok = set->check_tokenizers(); !ok) return tl::unexpected(std::move(ok).error());
  return set;
}

Expected<void> TokenSet::check_tokenizers() const {
  const std::string digest = tokenizer_digest();
  for (const auto& file : files_) {
    if (!file->meta() || file->meta()->tokenizer_digest == digest) continue;
    return refuse({.where = file->path(),
                   .found = "tokens of the tokenizer with the digest " + file->meta()->tokenizer_digest,
                   .allowed = fmt::format("of {}, as the other files of the set", digest),
                   .nearest = "build all of them with one tokenizer"});
  }
  return {};
}

std::string TokenSet::tokenizer_digest() const {
  for (const auto& file : files_) {
    if (file->meta()) return file->meta()->tokenizer_digest;
  }
  return "";
}

std::size_t TokenSet::file_of_token(std::int64_t token) const {
  MEGALITH_CHECK(token >= 0 && token < num_tokens(), "token {} of {}", token, num_tokens());
  return part_of(first_tokens_, token);
}

std::size_t TokenSet::file_of_document(std::int64_t d) const {
  MEGALITH_CHECK(d >= 0 && d < num_documents(), "document {} of {}", d, num_documents());
  return part_of(first_documents_, d);
}

std::string TokenSet::path_of(std::int64_t token) const {
  return files_[file_of_token(token)]->path();
}

TokenRange TokenSet::document(std::int64_t d) const {
  const std::size_t f = file_of_document(d);
  TokenRange range = files_[f]->document(d - first_documents_[f]);
  range.begin += first_tokens_[f];
  return range;
}

std::int64_t TokenSet::document_of(std::int64_t token) const {
  const std::size_t f = file_of_token(token);
  return first_documents_[f] + files_[f]->document_of(token - first_tokens_[f]);
}

void TokenSet::read(std::int64_t begin, std::int64_t count, std::int32_t* out) const {
  MEGALITH_CHECK(begin >= 0 && count >= 0 && begin <= num_tokens() && count <= num_tokens() - begin,
                 "tokens {}+{} of {}", begin, count, num_tokens());
  while (count > 0) {
    const std::size_t f = file_of_token(begin);
    const std::int64_t part = std::min(count, first_tokens_[f + 1] - begin);
    files_[f]->read(begin - first_tokens_[f], part, out);
    begin += part;
    count -= part;
    out += part;
  }
}

std::int32_t TokenSet::largest_id() const {
  std::int32_t largest = -1;
  for (const auto& file : files_) largest = std::max(largest, file->largest_id());
  return largest;
}

bool TokenSet::has_prompts() const {
  return std::any_of(files_.begin(), files_.end(),
                     [](const auto& file) { return file->facts().has_prompts(); });
}

std::int64_t TokenSet::prompt_tokens(std::int64_t document) const {
  const std::size_t f = file_of_document(document);
  return files_[f]->facts().prompt_tokens(document - first_documents_[f]);
}

std::string TokenSet::source(std::int64_t document) const {
  const std::size_t f = file_of_document(document);
  return files_[f]->facts().source(document - first_documents_[f]);
}

}  // namespace megalith
