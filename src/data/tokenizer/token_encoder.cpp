#include "data/tokenizer/token_encoder.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/digest.h"
#include "data/tokenizer/nfc.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer, Cache cache)
    : tokenizer_(tokenizer),
      model_(&tokenizer_.model()),
      walk_(model_->splitter, {}),
      merger_(model_->merges),
      cache_(cache == Cache::yes ? kRemembered : 0) {
  if (model_->stages) stages_.emplace(*model_->stages);
}

void TokenEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids, SpecialTokens special) {
  const auto& matchers = special == SpecialTokens::recognized ? model_->all_matched : model_->always_matched;
  const auto push = [&](std::int32_t id) { ids.push_back(id); };
  const auto encode_rest = [&](std::string_view rest) { encode_text(rest, ids); };
  matchers[0].cut(
      text,
      [&](std::string_view rest) {
        if (model_->parts.nfc && !is_obviously_nfc(rest)) {
          matchers[1].cut(to_nfc(rest), encode_rest, push);
        } else {
          matchers[1].cut(rest, encode_rest, push);
        }
      },
      push);
}

void TokenEncoder::encode_text(std::string_view text, std::vector<std::int32_t>& ids) {
  if (stages_) return stages_->cut(text, [&](std::string_view piece) { encode_piece(piece, ids); });
  std::string with_space;
  if (model_->parts.prefix_space && !text.starts_with(' ')) text = with_space.append(" ").append(text);
  walk_.restart(text);
  std::string_view piece;
  while (walk_.next(piece)) encode_piece(piece, ids);
}

void TokenEncoder::encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) {
  if (piece.size() == 1) {
    if (const std::int32_t id = model_->byte_ids[static_cast<std::uint8_t>(piece[0])]; id >= 0) {
      ids.push_back(id);
      return;
    }
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

void TokenEncoder::push_byte(char byte, std::vector<std::int32_t>& ids) const {
  const std::int32_t id = model_->byte_ids[static_cast<std::uint8_t>(byte)];
  if (id >= 0) {
    ids.push_back(id);
    return;
  }
  constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";
  for (const char c : kReplacementCharacter) ids.push_back(model_->byte_ids[static_cast<std::uint8_t>(c)]);
}

void TokenEncoder::merge_piece(std::string_view piece, std::vector<std::int32_t>& ids) {
  const std::size_t before = ids.size();
  if (model_->parts.whole_pieces) {
    if (const auto whole = model_->whole.find(piece); whole != model_->whole.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  for (const char c : piece) push_byte(c, ids);
  const std::size_t merged = merger_.merge(std::span(ids).subspan(before));
  ids.resize(before + merged);
}

}  // namespace megalith
