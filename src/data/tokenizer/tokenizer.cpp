#include "data/tokenizer/tokenizer.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "core/digest.h"
#include "core/file.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/nfc.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/token_encoder.h"
#include "data/tokenizer/tokenizer_model.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

// Below this, allocating a cache of pieces costs more than it saves.
constexpr std::size_t kWorthACache = 64 * 1024;

// Checks parts in the order in which the later checks rely on the earlier ones.
constexpr bool never_in_utf8(unsigned byte) {
  return byte == 0xC0 || byte == 0xC1 || byte >= 0xF5;
}

class PartsCheck {
 public:
  PartsCheck(const TokenizerParts& parts, std::string_view name) : parts_(parts), name_(name) {}

  // All that is wrong, but no more than a screenful.
  Refusals run() {
    check_pieces();
    if (refusals_.empty()) check_bytes();
    check_surroundings();
    if (refusals_.empty()) check_merges();
    return std::move(refusals_);
  }

 private:
  static constexpr std::size_t kMostRefusals = 10;

  void add(std::string where, std::string found, std::string allowed) {
    if (refusals_.size() >= kMostRefusals) return;
    refusals_.push_back({.where = fmt::format("{}: {}", name_, where),
                         .found = std::move(found),
                         .allowed = std::move(allowed),
                         .nearest = ""});
  }

  void check_pieces() {
    is_added_.assign(parts_.pieces.size(), false);
    for (const AddedToken& token : parts_.added) {
      const auto id = static_cast<std::size_t>(token.id);
      const std::string& content = parts_.pieces[id];
      const std::string where = fmt::format("added token {}", quoted_for_message(content));
      if (is_added_[id]) add(where, fmt::format("id {} twice", id), "each id once");
      is_added_[id] = true;
      if (content.size() > kLongestAddedToken) {
        add(where, fmt::format("{} bytes", content.size()), fmt::format("at most {}", kLongestAddedToken));
      }
      if (valid_utf8_prefix(content) != content.size()) {
        add(where, "bytes that are not UTF-8", "UTF-8");
      } else if (parts_.nfc && token.second_pass && to_nfc(content) != content) {
        add(where, "text that is not in the normalization form that it is looked for in",
            "form C, or \"normalized\": false");
      }
    }
    std::unordered_map<std::string, std::size_t> keys;
    for (std::size_t id = 0; id < parts_.pieces.size(); ++id) {
      const std::string& piece = parts_.pieces[id];
      if (piece.empty()) add(fmt::format("id {}", id), "an empty piece", "at least one byte");
      const auto [other, fresh] = keys.try_emplace(is_added_[id] ? piece : byte_level_key(piece), id);
      if (!fresh) {
        add(fmt::format("ids {} and {}", other->second, id),
            fmt::format("both are spelled {}", quoted_for_message(other->first)), "each spelling once");
      }
    }
  }

  void check_bytes() {
    std::array<bool, 256> there{};
    for (std::size_t id = 0; id < parts_.pieces.size(); ++id) {
      const std::string& piece = parts_.pieces[id];
      if (piece.size() == 1 && !is_added_[id]) there[static_cast<std::uint8_t>(piece[0])] = true;
    }
    // GPT-NeoX's vocabulary was trained on UTF-8 and has no entry for what never occurs in it.
    for (unsigned byte = 0; byte < 256; ++byte) there[byte] = there[byte] || never_in_utf8(byte);
    const auto missing = static_cast<std::size_t>(std::count(there.begin(), there.end(), false));
    if (missing == 0) return;
    const auto first = std::find(there.begin(), there.end(), false) - there.begin();
    add("vocabulary", fmt::format("no piece for {} of the 256 bytes, the first {:#04x}", missing, first),
        "a piece for each byte of UTF-8, so that no text is lost");
  }

  void check_merges() {
    for (std::size_t rank = 0; rank < parts_.merges.size(); ++rank) {
      const Merge& merge = parts_.merges[rank];
      for (const std::int32_t id : {merge.left, merge.right, merge.merged}) {
        if (!is_added_[static_cast<std::size_t>(id)]) continue;
        add(fmt::format("merge {}", rank),
            fmt::format("added token {}", quoted_for_message(parts_.pieces[static_cast<std::size_t>(id)])),
            "pieces that are not added tokens: ordinary text must not become one");
      }
    }
  }

  void check_surroundings() {
    for (const auto* ids : {&parts_.before, &parts_.after}) {
      for (const std::int32_t id : *ids) {
        if (id >= 0 && static_cast<std::size_t>(id) < parts_.pieces.size()) continue;
        add("post_processor", fmt::format("id {}", id), fmt::format("0 to {}", parts_.pieces.size() - 1));
      }
    }
  }

  const TokenizerParts& parts_;
  std::string_view name_;
  std::vector<bool> is_added_;
  Refusals refusals_;
};

// The only thing about passes that changes any id is which tokens come before which others; and, with a
// normalizer, which of them see the text it leaves.
void forget_passes_when_all_are_equal(std::vector<AddedToken>& added) {
  const auto second =
      std::count_if(added.begin(), added.end(), [](const AddedToken& t) { return t.second_pass; });
  if (static_cast<std::size_t>(second) != added.size()) return;
  for (AddedToken& token : added) token.second_pass = false;
}

std::uint64_t digest_of(const TokenizerParts& parts) {
  Digester digester;
  const auto number = [&](std::uint64_t value) { digester.update(&value, sizeof value); };
  digester.update("gpt2-pattern-bpe-1", 18);
  number(parts.pieces.size());
  for (const std::string& piece : parts.pieces) {
    number(piece.size());
    digester.update(piece.data(), piece.size());
  }
  number(parts.merges.size());
  for (const Merge& merge : parts.merges) {
    number(static_cast<std::uint32_t>(merge.left));
    number(static_cast<std::uint32_t>(merge.right));
    number(static_cast<std::uint32_t>(merge.merged));
  }
  number(parts.added.size());
  for (const AddedToken& token : parts.added) {
    number(static_cast<std::uint32_t>(token.id));
    number((token.special ? 1u : 0u) | (token.second_pass ? 2u : 0u) | (token.single_word ? 4u : 0u) |
           (token.lstrip ? 8u : 0u) | (token.rstrip ? 16u : 0u));
  }
  // GPT-2's way of doing things adds nothing.
  const bool plain = parts.pattern == PiecePattern::gpt2 && !parts.nfc && !parts.prefix_space &&
                     !parts.whole_pieces && parts.before.empty() && parts.after.empty();
  if (plain) return digester.value();
  const std::string_view pattern = name_of(parts.pattern);
  number(pattern.size());
  digester.update(pattern.data(), pattern.size());
  number((parts.nfc ? 1u : 0u) | (parts.prefix_space ? 2u : 0u) | (parts.whole_pieces ? 4u : 0u));
  for (const auto* ids : {&parts.before, &parts.after}) {
    number(ids->size());
    for (const std::int32_t id : *ids) number(static_cast<std::uint32_t>(id));
  }
  return digester.value();
}

std::optional<std::int32_t> special_token_named(const TokenizerParts& parts, std::string_view name) {
  for (const AddedToken& token : parts.added) {
    if (token.special && parts.pieces[static_cast<std::size_t>(token.id)] == name) return token.id;
  }
  return std::nullopt;
}

std::optional<std::int32_t> end_of_document_of(const TokenizerParts& parts) {
  std::optional<std::int32_t> end = special_token_named(parts, kEndOfDocument);
  for (const std::string_view name : kOtherEndsOfDocument) {
    if (!end) end = special_token_named(parts, name);
  }
  return end;
}

}  // namespace

Expected<Tokenizer> Tokenizer::build(TokenizerParts parts, std::string_view name) {
  Refusals refusals = PartsCheck(parts, name).run();
  if (!refusals.empty()) return refuse(std::move(refusals));

  auto model = std::make_shared<TokenizerModel>(parts.pattern);
  std::sort(parts.added.begin(), parts.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  if (!parts.nfc) forget_passes_when_all_are_equal(parts.added);
  model->byte_ids.fill(-1);
  model->merges = MergeTable(parts.merges.size());
  for (std::size_t rank = 0; rank < parts.merges.size(); ++rank) {
    if (model->merges.add(parts.merges[rank], static_cast<std::uint32_t>(rank))) continue;
    return refuse({.where = fmt::format("{}: merge {}", name, rank),
                   .found = "a pair that an earlier merge has",
                   .allowed = "each pair once",
                   .nearest = ""});
  }
  std::vector<bool> is_added(parts.pieces.size(), false);
  for (const AddedToken& token : parts.added) {
    const std::string& content = parts.pieces[static_cast<std::size_t>(token.id)];
    is_added[static_cast<std::size_t>(token.id)] = true;
    const AddedTokenMatcher::Rule rule{
        .id = token.id, .single_word = token.single_word, .lstrip = token.lstrip, .rstrip = token.rstrip};
    model->all_matched[token.second_pass].add(content, rule);
    if (!token.special) model->always_matched[token.second_pass].add(content, rule);
  }
  model->end_of_document = end_of_document_of(parts);
  for (std::size_t id = 0; id < parts.pieces.size(); ++id) {
    const std::string& piece = parts.pieces[id];
    if (piece.size() == 1 && !is_added[id]) {
      model->byte_ids[static_cast<std::uint8_t>(piece[0])] = static_cast<std::int32_t>(id);
    }
  }
  model->digest = digest_of(parts);
  model->parts = std::move(parts);
  if (model->parts.whole_pieces) {
    for (std::size_t id = 0; id < model->parts.pieces.size(); ++id) {
      if (!is_added[id]) model->whole.emplace(model->parts.pieces[id], static_cast<std::int32_t>(id));
    }
  }
  return Tokenizer(std::move(model));
}

void Tokenizer::save(const std::filesystem::path& path) const {
  write_file_atomically(path, to_json());
}

void Tokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids, SpecialTokens special) const {
  const auto cache = text.size() >= kWorthACache ? TokenEncoder::Cache::yes : TokenEncoder::Cache::no;
  TokenEncoder(*this, cache).encode(text, ids, special);
}

Expected<std::string> Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary_size()) {
      return refuse({.where = fmt::format("token {} of {}", i, ids.size()),
                     .found = fmt::format("id {}", ids[i]),
                     .allowed = fmt::format("0 to {}", vocabulary_size() - 1),
                     .nearest = ""});
    }
    text += bytes_of(ids[i]);
  }
  return text;
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
  MEGALITH_CHECK(id >= 0 && id < vocabulary_size(), "id {}", id);
  return model_->parts.pieces[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocabulary_size() const {
  return static_cast<std::int32_t>(model_->parts.pieces.size());
}

bool Tokenizer::lossless() const {
  const TokenizerParts& parts = model_->parts;
  return !parts.nfc && !parts.prefix_space &&
         std::none_of(model_->byte_ids.begin(), model_->byte_ids.end(), [](auto id) { return id < 0; }) &&
         std::none_of(parts.added.begin(), parts.added.end(),
                      [](const AddedToken& token) { return token.lstrip || token.rstrip; });
}

PiecePattern Tokenizer::pattern() const {
  return model_->parts.pattern;
}

std::span<const std::int32_t> Tokenizer::ids_before() const {
  return model_->parts.before;
}

std::span<const std::int32_t> Tokenizer::ids_after() const {
  return model_->parts.after;
}

std::optional<std::int32_t> Tokenizer::end_of_document() const {
  return model_->end_of_document;
}

std::span<const AddedToken> Tokenizer::added_tokens() const {
  return model_->parts.added;
}

std::uint64_t Tokenizer::digest() const {
  return model_->digest;
}

}  // namespace megalith
