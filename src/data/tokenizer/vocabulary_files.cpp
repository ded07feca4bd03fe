#include "data/tokenizer/vocabulary_files.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"

namespace megalith {

void PartsReader::refuse_because(std::string_view where, std::string found, std::string allowed,
                                 std::string nearest) {
  constexpr std::size_t kMostRefusals = 10;
  if (refusals_.size() >= kMostRefusals) return;
  refusals_.push_back({.where = fmt::format("{}: {}", name_, where),
                       .found = std::move(found),
                       .allowed = std::move(allowed),
                       .nearest = std::move(nearest)});
}

void PartsReader::add_token(const AddedToken& token, std::string content) {
  parts_.added.push_back(token);
  added_contents_.push_back(std::move(content));
}

void PartsReader::read_vocabulary(const nlohmann::json& vocabulary, std::string_view where) {
  std::unordered_map<std::string_view, std::int32_t> added;
  for (std::size_t i = 0; i < parts_.added.size(); ++i) added.emplace(added_contents_[i], parts_.added[i].id);

  // Ids without holes: whatever lies at or above the number of entries leaves one.
  std::size_t entries = vocabulary.size();
  for (const std::string& content : added_contents_) entries += vocabulary.contains(content) ? 0 : 1;
  if (entries > kLargestVocabulary) {
    refuse_because(where, fmt::format("{} entries", entries), fmt::format("at most {}", kLargestVocabulary));
    return;
  }
  parts_.pieces.assign(entries, {});
  const auto place = [&](std::uint64_t id, std::string bytes, const std::string& which) {
    if (id >= entries) {
      refuse_because(
          which, fmt::format("id {}", id),
          fmt::format("0 to {}: there are {} entries and ids may have no holes", entries - 1, entries));
    } else if (!parts_.pieces[id].empty()) {
      refuse_because(which, fmt::format("id {}, which another entry has", id), "each id once");
    } else {
      parts_.pieces[id] = std::move(bytes);
    }
  };
  for (std::size_t i = 0; i < parts_.added.size(); ++i) {
    place(static_cast<std::uint64_t>(parts_.added[i].id), added_contents_[i],
          fmt::format("added token {}", quoted_for_message(added_contents_[i])));
  }
  for (const auto& [key, value] : vocabulary.items()) {
    const std::string which = fmt::format("{}[{}]", where, quoted_for_message(key));
    if (!value.is_number_unsigned()) {
      refuse_because(which, kind_of(value), "an id: an integer from 0");
      continue;
    }
    const auto id = value.get<std::uint64_t>();
    const auto token = added.find(key);
    if (token != added.end()) {
      if (id == static_cast<std::uint64_t>(token->second)) continue;
      refuse_because(which, fmt::format("id {} here and id {} as an added token", id, token->second),
                     "one id");
      continue;
    }
    std::optional<std::string> bytes = byte_level_bytes(key);
    if (key.empty() || !bytes) {
      refuse_because(which, "characters outside GPT-2's byte-level alphabet", "a byte-level vocabulary");
      continue;
    }
    place(id, *std::move(bytes), which);
    if (id < entries) ids_.emplace(key, static_cast<std::int32_t>(id));
  }
}

void PartsReader::add_merge(std::string_view left, std::string_view right, std::string_view where) {
  Merge merge;
  const auto look_up = [&](const std::string& key, std::int32_t& id) {
    const auto found = ids_.find(key);
    if (found == ids_.end()) {
      refuse_because(where,
                     fmt::format("{}, which is not a piece of the vocabulary", quoted_for_message(key)),
                     "two pieces whose union is one too");
      return false;
    }
    id = found->second;
    return true;
  };
  const std::string joined = std::string(left) + std::string(right);
  if (look_up(std::string(left), merge.left) && look_up(std::string(right), merge.right) &&
      look_up(joined, merge.merged)) {
    parts_.merges.push_back(merge);
  }
}

Expected<Tokenizer> PartsReader::finish() && {
  if (!refusals_.empty()) return refuse(std::move(refusals_));
  return Tokenizer::build(std::move(parts_), name_);
}

}  // namespace megalith
