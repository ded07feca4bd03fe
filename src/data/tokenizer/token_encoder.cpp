#include "data/tokenizer/token_encoder.h"

#include <algorithm>
#include <cstring>

#include "core/digest.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer, Cache cache)
    : tokenizer_(tokenizer),
      model_(&tokenizer_.model()),
      walk_(model_->splitter, {}),
      merger_(model_->merges),
      cache_(cache == Cache::yes ? kRemembered : 0) {}

void TokenEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids, SpecialTokens special) {
  const auto& matchers = special == SpecialTokens::recognized ? model_->all_matched : model_->always_matched;
  const auto second_pass = [&](std::string_view rest) {
    while (const auto match = matchers[1].find(rest)) {
      encode_text(rest.substr(0, match->begin), ids);
      ids.push_back(match->id);
      rest.remove_prefix(match->begin + match->size);
    }
    encode_text(rest, ids);
  };
  while (const auto match = matchers[0].find(text)) {
    second_pass(text.substr(0, match->begin));
    ids.push_back(match->id);
    text.remove_prefix(match->begin + match->size);
  }
  second_pass(text);
}

void TokenEncoder::encode_text(std::string_view text, std::vector<std::int32_t>& ids) {
  walk_.restart(text);
  std::string_view piece;
  while (walk_.next(piece)) encode_piece(piece, ids);
}

void TokenEncoder::encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) {
  if (piece.size() == 1) {
    ids.push_back(model_->byte_ids[static_cast<std::uint8_t>(piece[0])]);
    return;
  }
  if (cache_.empty() || piece.size() > Remembered::kBytes) {
    merge_piece(piece, ids);
    return;
  }
  Remembered& place = cache_[digest_bytes(piece.data(), piece.size()) % kRemembered];
  if (place.num_bytes == piece.size() && std::memcmp(place.bytes, piece.data(), piece.size()) == 0) {
    ids.insert(ids.end(), place.ids, place.ids + place.num_ids);
    return;
  }
  const std::size_t before = ids.size();
  merge_piece(piece, ids);
  const std::size_t num_ids = ids.size() - before;
  if (num_ids > Remembered::kIds) return;
  place.num_bytes = static_cast<std::uint8_t>(piece.size());
  place.num_ids = static_cast<std::uint8_t>(num_ids);
  std::copy(piece.begin(), piece.end(), place.bytes);
  std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), place.ids);
}

void TokenEncoder::merge_piece(std::string_view piece, std::vector<std::int32_t>& ids) {
  const std::size_t before = ids.size();
  for (const char c : piece) ids.push_back(model_->byte_ids[static_cast<std::uint8_t>(c)]);
  const std::size_t merged = merger_.merge(std::span(ids).subspan(before));
  ids.resize(before + merged);
}

}  // namespace megalith
