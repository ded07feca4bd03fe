#include "data/tokenizer/token_encoder.h"

#include <array>
#include <span>
#include <string>

#include "data/tokenizer/nfc.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer, Cache cache)
    : tokenizer_(tokenizer),
      model_(&tokenizer_.model()),
      walk_(model_->splitter, {}),
      merger_(model_->merges) {
  if (cache == Cache::yes) cache_.emplace();
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
  std::string with_space;
  if (model_->parts.prefix_space && !text.starts_with(' ')) text = with_space.append(" ").append(text);
  walk_.restart(text);
  if (cache_) {
    encode_text_with_cache(text, ids);
  } else {
    for (std::string_view piece; walk_.next(piece);) merge_piece(piece, ids);
  }
}

void TokenEncoder::encode_text_with_cache(std::string_view text, std::vector<std::int32_t>& ids) {
  // Some pieces are cut before the first of them is looked up, so that the cache's memory is there by then.
  constexpr std::size_t kAhead = 32;
  std::array<std::string_view, kAhead> pieces;
  std::array<ShortPiece, kAhead> keys;
  // Ids are gathered here first: writing more than counts and then going on by a few decides no branch.
  std::array<std::int32_t, kAhead * PieceCache::kFewIds> gathered;
  const char* const end = text.data() + text.size();
  std::size_t ahead = kAhead;
  while (ahead == kAhead) {
    for (ahead = 0; ahead < kAhead && walk_.next(pieces[ahead]); ++ahead) {
      if (pieces[ahead].size() > ShortPiece::kMostBytes) continue;
      keys[ahead] = ShortPiece::of(pieces[ahead], end);
      cache_->prefetch(keys[ahead]);
    }
    std::size_t count = 0;
    const auto hand_over = [&] {
      ids.insert(ids.end(), gathered.data(), gathered.data() + count);
      count = 0;
    };
    for (std::size_t i = 0; i < ahead; ++i) {
      const bool is_short = pieces[i].size() <= ShortPiece::kMostBytes;
      const std::size_t found =
          is_short ? cache_->find(keys[i], gathered.data() + count) : PieceCache::kManyIds;
      if (found - 1 < PieceCache::kFewIds) {
        count += found;
      } else {
        hand_over();
        encode_rare_piece(pieces[i], found == PieceCache::kManyIds, ids);
      }
    }
    hand_over();
  }
}

void TokenEncoder::encode_rare_piece(std::string_view piece, bool may_be_known,
                                     std::vector<std::int32_t>& ids) {
  if (may_be_known) {
    if (const std::span known = cache_->find_long(piece); !known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
  }
  const std::size_t before = ids.size();
  merge_piece(piece, ids);
  cache_->remember(piece, std::span(ids).subspan(before));
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
